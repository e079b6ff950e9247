//! Pure: jobs that fit into what the window still gives need no pacing.

use crate::tuning::governor::Governor;

impl Governor {
    /// What is left may fit into what the window still gives.
    pub(super) fn plan_sprint(&mut self, now: f64) {
        let share = self.orders.max_share;
        let mut need = 0.0;
        let mut requests = 0.0;
        for state in &self.tables {
            if !state.wants && state.left.is_none_or(|l| l <= 0.0) {
                continue;
            }
            let Some(left) = state.left else {
                self.sprint = false;
                return;
            };
            need += left * state.secs_a_row();
            requests += left / state.rows.max(1.0);
        }
        let mut credit = 0.0;
        let mut rate = 0.0;
        let mut room = 0.0;
        for place in 0..self.lanes.len() {
            if self.usable(&self.lanes[place]) {
                credit += self.lanes[place].credit(now, share);
                rate += self.lanes[place].rate(share);
                room += self.lanes[place].requests_room(now, share);
            }
        }
        // What it would take at the paced height: sprinting makes each request longer.
        let paced = rate + 2.0;
        let height = (self.sent.len() as f64).max(1.0);
        let e = self.slope_parallel.value.clamp(0.15, 1.0);
        let at_pace = need * (paced / height.max(paced)).powf(e);
        let most = if self.sprint { 0.95 } else { 0.85 };
        self.sprint = requests < most * room && at_pace < most * credit;
        self.parallel.hurry = self.sprint;
        if self.sprint {
            // The higher, the more each further one costs: up to the knee, where it costs all.
            let steep = 0.5 * (e + 1.0);
            let stretch = (0.87 * credit / need.max(1e-3)).powf(1.0 / steep);
            self.sprint_ceiling = (height * stretch.clamp(0.2, 2.0)).max(paced);
        }
    }
}

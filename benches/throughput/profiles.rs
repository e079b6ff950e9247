//! The environments of `adaptive-control.md` §6 and those the project adds.

use crate::world::{COMPLEX, Class, Headers, MODERATE, OOB, SIMPLE, TableSpec, World};

pub(crate) fn table(class: Class) -> TableSpec {
    let guidance = if class.b == SIMPLE.b {
        (10, 50)
    } else if class.b == MODERATE.b {
        (100, 30)
    } else if class.b == OOB.b {
        (250, 30)
    } else {
        (15, 15)
    };
    TableSpec {
        class,
        rows: None,
        bad: 0.0,
        hazard: 0.0,
        weight: 1.0,
        drift: vec![(0.0, 1.0)],
        batch_ratio: 1.3,
        guidance,
    }
}

pub(crate) fn world(name: &'static str, class: Class, servers: u32, users: usize) -> World {
    World {
        name,
        tables: vec![table(class)],
        servers: vec![(0.0, servers)],
        users: vec![1200.0; users],
        requests_limit: 6000.0,
        concurrent: 52,
        shared: false,
        tokens: true,
        headers: Headers::Fresh,
        enforcement_lag: 0.0,
        lenient: false,
        latency: 0.015,
        noise: 0.3,
        sigma: 0.004,
        kappa: vec![(0.0, 0.0004)],
        lock: 0.0,
        foreign: None,
        hint: 5 * servers,
    }
}

/// With contention within the table: the knee lies below the budget.
fn knee(class: Class, kappa: f64) -> Class {
    Class { sigma: 0.004, kappa, ..class }
}

/// What a profile is judged by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Overshoot is paid back; limits as documented or told by headers.
    Told,
    /// No headers, or wrong limits nobody tells.
    Untold,
    /// Servers cannot be told apart: chance fills their counters unevenly.
    Chance,
    /// Lenient lock.
    Lenient,
    /// Added by the project; judged by its own rules.
    Own,
}

pub(crate) struct Profile {
    pub(crate) world: World,
    pub(crate) kind: Kind,
}

pub(crate) fn all() -> Vec<Profile> {
    let mut list = Vec::new();
    let mut told = |world: World| list.push(Profile { world, kind: Kind::Told });
    let mild = |mut w: World| {
        w.sigma = 0.001;
        w.kappa = vec![(0.0, 0.00004)];
        w
    };
    told(world("A1 simple S1 U1", SIMPLE, 1, 1));
    told(world("A2 oob S1 U1", OOB, 1, 1));
    told(world("A3 oob S4 U1", OOB, 4, 1));
    told(world("A4 moderate S8 U2", MODERATE, 8, 2));
    told(world("A5 complex S2 U2", COMPLEX, 2, 2));
    told(world("B1 oob S4 U4 (knee)", knee(OOB, 0.0006), 4, 4));
    told(world("B2 moderate S8 U5 (knee)", knee(MODERATE, 0.0002), 8, 5));
    told(world("B3 complex S4 U4 (knee)", knee(COMPLEX, 0.002), 4, 4));
    let mut w = world("C1 simple S2 U2 bad 0.1%", SIMPLE, 2, 2);
    w.tables[0].bad = 0.001;
    told(w);
    let mut w = world("C2 oob S2 U2 bad 1%", OOB, 2, 2);
    w.tables[0].bad = 0.01;
    told(w);
    let mut w = world("C3 moderate S4 U2 deadlocks", MODERATE, 4, 2);
    w.tables[0].hazard = 0.03;
    told(w);
    let mut w = world("D1 oob S2 U2 drift x2.5", OOB, 2, 2);
    w.tables[0].drift = vec![(0.0, 1.0), (1200.0, 2.5), (2400.0, 1.0)];
    told(w);
    let mut w = world("D2 moderate servers 4->2->6", MODERATE, 4, 2);
    w.servers = vec![(0.0, 4), (1200.0, 2), (2400.0, 6)];
    told(w);
    let mut w = world("D3 oob S4 U4 knee halves", knee(OOB, 0.0003), 4, 4);
    w.kappa = vec![(0.0, 0.0004), (1800.0, 0.0016)];
    told(w);
    let mut w = world("E4 oob S2 U2 foreign load 40%", OOB, 2, 2);
    w.foreign = Some((0.4, 600.0, 2400.0));
    told(w);
    let mut w = world("E5 moderate S2 U2 noisy", MODERATE, 2, 2);
    w.noise = 0.8;
    told(w);
    let mut w = world("E6 oob S2 U1 lagged enforcement", OOB, 2, 1);
    w.enforcement_lag = 30.0;
    told(w);
    told(mild(world("F1 oob S4 U1 mild contention", OOB, 4, 1)));
    told(mild(world("F2 moderate S4 U4 mild contention", MODERATE, 4, 4)));
    let mut w = world("F3 simple S2 U2 latency 150 ms", SIMPLE, 2, 2);
    w.latency = 0.15;
    told(w);
    let mut w = world("K1 oob 8 nodes, shared counter U2", OOB, 8, 2);
    w.shared = true;
    w.headers = Headers::Stale(20.0);
    w.hint = 5;
    told(w);
    let mut w = world("K2 moderate 15 nodes, shared U4", MODERATE, 15, 4);
    w.shared = true;
    w.headers = Headers::Stale(20.0);
    w.hint = 5;
    told(w);
    let mut w = world("K3 oob S2 U2, headers 20 s stale", OOB, 2, 2);
    w.headers = Headers::Stale(20.0);
    told(w);
    let mut w = world("H1 moderate S4 U1 row locks", MODERATE, 4, 1);
    w.lock = 3e-4;
    told(w);
    let mut w = world("H2 moderate S4 U4 row locks", MODERATE, 4, 4);
    w.lock = 3e-4;
    told(w);
    let mut untold = |name, limit: f64| {
        let mut w = world(name, OOB, 2, 2);
        w.headers = Headers::None;
        w.users = vec![limit; 2];
        list.push(Profile { world: w, kind: Kind::Untold });
    };
    untold("E1 oob S2 U2 limit 2400 no hdr", 2400.0);
    untold("E2 oob S2 U2 limit 600 no hdr", 600.0);
    untold("E3 oob S2 U2 no headers", 1200.0);
    let mut w = world("E7 oob S4 U1 no server tokens", OOB, 4, 1);
    w.tokens = false;
    list.push(Profile { world: w, kind: Kind::Chance });
    let mut w = world("G1 oob S1 U1 lenient lock", OOB, 1, 1);
    w.lenient = true;
    list.push(Profile { world: w, kind: Kind::Lenient });
    let mut w = mild(world("G2 oob S4 U1 lenient lock, mild", OOB, 4, 1));
    w.lenient = true;
    list.push(Profile { world: w, kind: Kind::Lenient });
    let mut w = world("P1 simple + oob at once S2 U2", SIMPLE, 2, 2);
    w.tables.push(table(OOB));
    list.push(Profile { world: w, kind: Kind::Own });
    let mut w = world("P2 moderate 3:1 weights S4 U2", MODERATE, 4, 2);
    w.tables.push(table(MODERATE));
    w.tables[0].weight = 3.0;
    list.push(Profile { world: w, kind: Kind::Own });
    let mut w = world("P3 oob S2, users 1200/2400/600", OOB, 2, 3);
    w.users = vec![1200.0, 2400.0, 600.0];
    list.push(Profile { world: w, kind: Kind::Own });
    let mut w = world("P4 moderate plug-ins x4 half-way", MODERATE, 2, 2);
    w.tables[0].drift = vec![(0.0, 1.0), (1800.0, 4.0)];
    list.push(Profile { world: w, kind: Kind::Own });
    list
}

/// Jobs that end: environment and rows.
pub(crate) fn jobs() -> Vec<(World, u64)> {
    let mut list = Vec::new();
    let sizes: [(&'static str, Class, u32, usize, &[u64]); 4] = [
        ("moderate S1 U1", MODERATE, 1, 1, &[500, 5_000, 20_000, 100_000]),
        ("moderate S4 U2", MODERATE, 4, 2, &[5_000, 50_000, 200_000]),
        ("oob S2 U1", OOB, 2, 1, &[500, 5_000, 20_000]),
        ("simple S2 U1", SIMPLE, 2, 1, &[1_000, 20_000, 200_000]),
    ];
    for (name, class, servers, users, rows) in sizes {
        for rows in rows {
            let mut w = world(name, class, servers, users);
            w.tables[0].rows = Some(*rows);
            list.push((w, *rows));
        }
    }
    list
}

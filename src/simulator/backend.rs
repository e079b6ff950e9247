//! Pure: what the HTTP face asks of the model behind it.

use super::call::{Answer, Call, CallContext, Refusal};
use super::model::Model;
use super::schema::Schema;

/// A model of the environment.
pub trait Backend: Send + 'static {
    /// Runs one operation.
    ///
    /// # Errors
    /// The refusal the client is answered with; nothing has changed.
    fn execute(&mut self, ctx: &CallContext, call: &Call<'_>) -> Result<Answer, Refusal>;

    /// Starts a change set.
    fn begin(&mut self);

    /// Keeps all that was done since [`Backend::begin`].
    fn commit(&mut self);

    /// Undoes all that was done since [`Backend::begin`].
    fn rollback(&mut self);

    /// Tables of the environment.
    fn schema(&self) -> &Schema;

    /// Appends the rows of one table, one JSON object a line.
    fn dump(&self, table: usize, out: &mut Vec<u8>);
}

impl Backend for Model {
    fn execute(&mut self, ctx: &CallContext, call: &Call<'_>) -> Result<Answer, Refusal> {
        Self::execute(self, ctx, call)
    }

    fn begin(&mut self) {
        Self::begin(self);
    }

    fn commit(&mut self) {
        Self::commit(self);
    }

    fn rollback(&mut self) {
        Self::rollback(self);
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn dump(&self, table: usize, out: &mut Vec<u8>) {
        // A vector takes every byte.
        let written = self.dump_table(table, out);
        debug_assert!(written.is_ok());
    }
}

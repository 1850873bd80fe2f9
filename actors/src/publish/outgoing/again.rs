//! Records that are sent again.

use std::sync::Arc;

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::side_output;
use lockstep_engine::publish::sink::OutRecord;

use super::Outgoing;
use crate::publish::pending::{Dead, Delivered, Outbound, Pending};

impl Outgoing {
    /// Puts the records of a refused batch before all waiting ones, once none is in flight. A result that cannot be made again
    /// ends here.
    pub(in crate::publish) fn take_turns(&mut self, maker: &ResultMaker, ended: &mut Vec<Delivered>) {
        if self.in_turn.is_empty() || self.queue.is_under_way() {
            return;
        }
        let mut in_turn = std::mem::take(&mut self.in_turn);
        in_turn.sort_by_key(|(number, _)| *number);
        let made = in_turn.into_iter().filter_map(|(_, pending)| self.remake(pending, maker, ended));
        let again: Vec<Pending> = made.collect();
        // These records get the last numbers before the waiting ones. Records repeated earlier may wait behind them.
        self.sent_again = self.sent_again.max(self.queue.unsent());
        self.queue.push_again(again.into_iter());
        self.sink.resume();
    }

    fn remake(
        &self,
        Pending { what, record }: Pending,
        maker: &ResultMaker,
        ended: &mut Vec<Delivered>,
    ) -> Option<Pending> {
        match (record.map_or_else(|| self.make(&what, maker).map(Box::new), Ok), what) {
            (Ok(record), what) => Some(Pending { what, record: Some(record) }),
            (Err(why), Outbound::Result { job, .. }) => {
                let fault = Fault::new(StageKind::Publish, Reason::ModelFailed, why);
                ended.push(Delivered::Poison { job, fault });
                None
            }
            (Err(why), _) => {
                tracing::error!(why, "record cannot be made again");
                None
            }
        }
    }

    /// Sends refused records again. A result that cannot be made again ends here.
    pub(in crate::publish) fn again(&mut self, maker: &ResultMaker) -> Vec<Delivered> {
        self.again_at = None;
        let mut ended = Vec::new();
        for pending in std::mem::take(&mut self.refused) {
            if let Some(Pending { what, record: Some(record) }) = self.remake(pending, maker, &mut ended) {
                self.send(*record, what);
            }
        }
        self.sent_again = self.queue.next();
        ended
    }

    fn make(&self, what: &Outbound, maker: &ResultMaker) -> Result<OutRecord, String> {
        match what {
            Outbound::Result { job, .. } => maker.make(job).map(|(record, _)| record),
            Outbound::Dead(dead) => Ok(self.dead(dead)),
            Outbound::LeftOut { sample, topic, why, keeps } => {
                Ok(side_output::left_out(self.late(), &sample.record, topic, *why, *keeps))
            }
            Outbound::State { .. } | Outbound::Reported { .. } => Err("its content was not kept".into()),
        }
    }

    pub(super) fn dead(&self, dead: &Dead) -> OutRecord {
        let Dead { dead_letter, topic, fault, keeps } = dead;
        side_output::dead_letter(&self.dead_letters, dead_letter.record(), topic, fault, *keeps)
    }

    /// Returns the topic of late records. No record is on its way there without such a topic.
    pub(super) fn late(&self) -> &Arc<str> {
        self.late.as_ref().unwrap_or(&self.dead_letters)
    }
}

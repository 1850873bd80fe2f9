//! What keeps a pipeline within its bounds and on its feet: who pauses when the byte budget is spent
//! ([`gate`]), when something that failed is started again ([`restart`]), when a model that keeps failing is
//! left alone ([`breaker`]), who stands still ([`progress`]), and which shard a stream belongs to ([`shards`]).

pub mod breaker;
pub mod gate;
pub mod progress;
pub mod restart;
pub mod shards;

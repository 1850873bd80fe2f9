//! What keeps a pipeline within its bounds and on its feet: who pauses when the byte budget is spent
//! ([`gate`]), how many shards, instances and processes the load asks for ([`scaling`]), which shard a stream belongs
//! to ([`shards`]), when something that failed is started again ([`restart`]), when a model that keeps failing is left
//! alone ([`breaker`]), and who stands still ([`progress`]).

pub mod breaker;
pub mod gate;
pub mod progress;
pub mod restart;
pub mod scaling;
pub mod shards;

//! The store on its host: one LMDB environment, who may open it, and how its commits are serialised.

pub mod lmdb;

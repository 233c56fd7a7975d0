//! The attacks of `SECURITY.md`, written as the attacker would, a module for each row: each succeeds against a build
//! without the one defence that stops it, and fails with it. The suite in `tests/` attacks through messages alone;
//! these take what is inside.

mod row_01;
mod row_02;
mod row_03;
mod row_04;
mod row_05;
mod row_06;
mod row_07;
mod row_08;
mod row_09;
mod row_10;
mod row_11;
mod row_12;
mod row_13;
mod row_14;
mod row_18;
mod world;

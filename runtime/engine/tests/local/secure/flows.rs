//! Secure joins in larger flows.

use veilflow_spec::{Context, Flow, Foreach, Result, Sum, Tensor};

use super::support::{Server, Site, Told, Update, model, runtime, secagg};

impl Server {
    fn first(&mut self, sum: Sum<Update>, _cx: &Context) -> Result<Foreach<Tensor>> {
        self.note(sum);
        Ok(Foreach::all(model(0.5)))
    }
}

const SITES: [&str; 4] = ["a", "b", "c", "d"];

fn two_joins() -> Flow<Server, Site, (), Vec<Told>> {
    Flow::new("two", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::train)
                .quorum(3)
                .secure_join(secagg(), Server::first)
                .foreach(Site::train)
                .named("train_again")
                .quorum(3)
                .secure_join(secagg(), Server::average)
        })
        .end()
}

#[test]
fn a_dropout_names_a_step_of_one_join_or_of_all() {
    let missing = |step: &str| {
        let told = runtime(&SITES, 1).drop_out("b", step).run(&two_joins(), ()).unwrap();
        told.iter().map(|told| told.missing.len()).collect::<Vec<_>>()
    };
    assert_eq!(missing("mask"), [1, 1]);
    assert_eq!(missing("average.mask"), [0, 1]);
    assert_eq!(missing("first.mask"), [1, 0]);
    let error = runtime(&SITES, 1).drop_out("b", "masc").run(&two_joins(), ()).unwrap_err();
    assert_eq!(error.code(), "unknown-step");
    assert!(error.to_string().contains("first.mask"), "{error}");
}

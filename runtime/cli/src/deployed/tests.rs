use std::path::PathBuf;

use veilflow_engine::Event;
use veilflow_spec::{Context, Device, Flow, Foreach, Inputs, Provided};

use super::*;
use crate::app::Setup;

#[derive(Args)]
struct Options {
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Changes the graph.
    #[arg(long)]
    twice: bool,
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[arg(long)]
    workers: Option<u32>,
    #[arg(long)]
    checked: bool,
}

struct Toy;

fn start(_: &mut u32, rounds: u32, _: &Context) -> Result<Foreach<u32>> {
    Ok(Foreach::all(rounds))
}

fn train(_: &mut PathBuf, value: u32, _: &Context) -> Result<u32> {
    Ok(value)
}

fn join(_: &mut u32, values: Inputs<u32>, _: &Context) -> Result<u32> {
    Ok(values.values().sum())
}

impl App for Toy {
    const NAME: &'static str = "toy";
    const ABOUT: &'static str = "Reads a folder at each site";
    const SITE_OPTIONS: &'static [&'static str] = &["data-dir", "workers", "checked"];
    type Options = Options;
    type Aggregator = u32;
    type Collaborator = PathBuf;
    type Params = u32;
    type Report = u32;

    fn flow(options: &Options, _: &Cohort) -> Result<FlowOf<Self>> {
        let train_once = Flow::new("toy", 1).start(start).foreach(train);
        Ok(if options.twice {
            train_once.then(train).named("train_again").join(join).end()
        } else {
            train_once.join(join).end()
        })
    }

    fn setup(options: &Options, cohort: &Cohort) -> Result<Setup<Self>> {
        let data = options.data_dir.clone().ok_or_else(|| StepError::msg("no data-dir"))?;
        assert!(
            options.workers.is_none_or(|workers| workers == 3) && cohort.index_of(&"a".into()) == Some(1)
        );
        Ok(Setup::new(0, options.rounds, move |_| Ok(data.clone())))
    }

    fn host(options: &Options, _: &Cohort) -> Result<(u32, u32)> {
        Ok((0, options.rounds))
    }
}

fn terms(options: &[&str]) -> Terms {
    Terms {
        flow: "toy".to_owned(),
        options: options.iter().map(ToString::to_string).collect(),
        participants: vec!["b".into(), "a".into()],
        seed: 1,
        drop: Vec::new(),
        dropouts: 0.0,
    }
}

fn place(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn site_settings() -> SiteSettings {
    let nobody = Arc::new(|_: &Event| ());
    SiteSettings {
        name: "a".into(),
        participants: vec!["b".into(), "a".into()],
        seed: 1,
        cpus: 1,
        device: Device::Cpu,
        provided: Provided::nothing(),
        drop: Vec::new(),
        dropouts: 0.0,
        observer: nobody.clone(),
        crossing: nobody,
    }
}

fn toy() -> AppFlow<Toy> {
    AppFlow::new()
}

#[test]
fn every_place_builds_the_same_flow_from_the_terms() {
    let own = place(&[("data-dir", "/data"), ("workers", "3"), ("checked", "true")]);
    let mut fingerprints = Vec::new();
    for options in [&["--rounds=3"][..], &["--rounds=3", "--twice"]] {
        let terms = terms(options);
        let described = toy().describe(&terms).unwrap().fingerprint();
        let at_the_director = toy().host(&terms, &place(&[]), None).unwrap().fingerprint();
        let at_a_site = toy().site(&terms, &own, site_settings()).unwrap().fingerprint();
        assert_eq!([at_the_director, at_a_site], [described; 2]);
        fingerprints.push(described);
    }
    assert_ne!(fingerprints[0], fingerprints[1], "the options reach the graph");
}

#[test]
fn parameters_of_a_client_take_the_place_of_the_flows_own() {
    let params = veilflow_spec::to_cbor(&7_u32).unwrap();
    toy().host(&terms(&[]), &place(&[]), Some(&params)).unwrap();
    let text = veilflow_spec::to_cbor(&"seven").unwrap();
    assert!(toy().host(&terms(&[]), &place(&[]), Some(&text)).is_err());
}

fn error(terms: &Terms) -> (String, String) {
    let error = toy().describe(terms).unwrap_err();
    (error.code().to_owned(), error.to_string())
}

#[test]
fn a_client_does_not_say_what_belongs_to_a_place() {
    for options in [&["--data-dir=/etc"][..], &["--data-dir", "/etc"], &["--rounds=1", "--checked"]] {
        let (code, text) = error(&terms(options));
        assert_eq!(code, "option-of-the-place", "{options:?}");
        assert!(text.contains("[flows.toy]"), "{text}");
        // Not even where the site has none of its own.
        assert!(toy().site(&terms(options), &place(&[]), site_settings()).is_err());
    }
}

#[test]
fn terms_that_make_no_sense_are_refused() {
    for options in [&["--round=1"][..], &["--rounds=two"], &["--help"], &["stray"]] {
        assert_eq!(error(&terms(options)).0, "invalid-options", "{options:?}");
    }
    let names = |names: &[&str]| Terms {
        participants: names.iter().map(|name| Name::from(*name)).collect(),
        ..terms(&[])
    };
    for participants in [&[][..], &["a", "a"], &["a/b"]] {
        assert_eq!(error(&names(participants)).0, "invalid-participants", "{participants:?}");
    }
    assert_eq!(error(&Terms { flow: "other".to_owned(), ..terms(&[]) }).0, "unknown-flow");
}

#[test]
fn a_places_settings_are_checked_before_anything_runs() {
    let wrong = |settings: &[(&str, &str)]| toy().check_place(&place(settings)).unwrap_err().to_string();
    for (settings, says) in [
        (("data-dri", "/data"), "did you mean `data-dir`"),
        (("rounds", "7"), "There are: data-dir, workers, checked"),
        (("workers", "many"), "[flows.toy] workers: invalid value 'many'"),
        (("checked", "perhaps"), "true or false"),
    ] {
        let text = wrong(&[settings]);
        assert!(text.contains(says), "{text}");
    }
    let good = [("data_dir", "/data"), ("workers", "3"), ("checked", "false")];
    toy().check_place(&place(&good)).unwrap();
}

#[test]
fn a_site_without_its_settings_says_what_is_missing() {
    let error = toy().site(&terms(&[]), &place(&[]), site_settings()).err().unwrap();
    assert!(error.to_string().contains("no data-dir"), "{error}");
}

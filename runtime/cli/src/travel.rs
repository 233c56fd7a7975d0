//! A flow's own options as they travel: the flags that were given, and nothing of the place where they were.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::entry::Entry;
use crate::error::CliError;

/// The flow's own flags that were given, on the command line or in a file. Defaults do not travel: each place has them.
///
/// # Errors
/// Values that are no text.
pub(crate) fn given(flow: &dyn Entry, matches: &ArgMatches) -> Result<Vec<String>, CliError> {
    let command = flow.add_options(Command::new(flow.name()));
    let mut flags = Vec::new();
    for arg in command.get_arguments().filter(|arg| !is_of_the_place(flow, arg) && is_given(matches, arg)) {
        append(arg, matches, &mut flags).ok_or_else(|| CliError::NotText { flag: flag(arg) })?;
    }
    Ok(flags)
}

/// Refuses flags of the place: they cannot travel.
///
/// # Errors
/// [`CliError::OfThePlace`], with the first of them.
pub(crate) fn refuse_of_the_place(flow: &dyn Entry, matches: &ArgMatches) -> Result<(), CliError> {
    let command = flow.add_options(Command::new(flow.name()));
    let own = command.get_arguments().find(|arg| is_of_the_place(flow, arg) && is_given(matches, arg));
    let Some(flag) = own.and_then(|arg| arg.get_long()) else { return Ok(()) };
    Err(CliError::OfThePlace { flow: flow.name(), flag: flag.to_owned() })
}

fn is_of_the_place(flow: &dyn Entry, arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| flow.site_options().contains(&long))
}

fn is_given(matches: &ArgMatches, arg: &Arg) -> bool {
    matches
        .value_source(arg.get_id().as_str())
        .is_some_and(|source| matches!(source, ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// The flag as it is written; nothing for an argument that only has a place.
fn flag(arg: &Arg) -> String {
    let long = arg.get_long().map(|long| format!("--{long}"));
    long.or_else(|| arg.get_short().map(|short| format!("-{short}"))).unwrap_or_default()
}

/// Appends what was given for an argument; `None` where it is no text.
fn append(arg: &Arg, matches: &ArgMatches, flags: &mut Vec<String>) -> Option<()> {
    let (id, flag) = (arg.get_id().as_str(), flag(arg));
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => flags.push(flag),
        ArgAction::Count => {
            flags.extend(std::iter::repeat_n(flag, usize::from(matches.get_count(id))));
        }
        _ => {
            let occurrences = matches.get_raw_occurrences(id).into_iter().flatten();
            for occurrence in occurrences {
                let values: Vec<&str> = occurrence.map(|value| value.to_str()).collect::<Option<_>>()?;
                let delimiter = arg.get_value_delimiter();
                match (values.as_slice(), delimiter) {
                    (values, _) if flag.is_empty() => flags.extend(values.iter().map(ToString::to_string)),
                    (values, Some(delimiter)) => {
                        flags.push(format!("{flag}={}", values.join(&delimiter.to_string())));
                    }
                    ([value], None) => flags.push(format!("{flag}={value}")),
                    (values, None) => {
                        flags.push(flag.clone());
                        flags.extend(values.iter().map(ToString::to_string));
                    }
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use clap::Args;
    use veilflow_spec::{Context, Flow, Result};

    use super::*;
    use crate::app::{App, FlowOf, Setup};
    use crate::cohort::Cohort;
    use crate::entry::entry;

    #[derive(Args)]
    struct Options {
        #[arg(long, default_value_t = 2)]
        rounds: u32,
        #[arg(long, allow_negative_numbers = true)]
        shift: Option<f64>,
        #[arg(long)]
        fast: bool,
        #[arg(long, action = ArgAction::Count)]
        more: u8,
        #[arg(long, value_delimiter = ',')]
        layers: Vec<u32>,
        #[arg(long, num_args = 2)]
        range: Vec<u32>,
        #[arg(long)]
        data_dir: Option<std::path::PathBuf>,
    }

    struct Many;

    impl App for Many {
        const NAME: &'static str = "many";
        const ABOUT: &'static str = "Has every kind of option";
        const SITE_OPTIONS: &'static [&'static str] = &["data-dir"];
        type Options = Options;
        type Aggregator = ();
        type Collaborator = ();
        type Params = ();
        type Report = ();

        fn flow(_: &Options, _: &Cohort) -> Result<FlowOf<Self>> {
            fn begin(_: &mut (), (): (), _: &Context) -> Result<()> {
                Ok(())
            }
            Ok(Flow::new("many", 1).start(begin).end())
        }

        fn setup(_: &Options, _: &Cohort) -> Result<Setup<Self>> {
            Ok(Setup::new((), (), |_| Ok(())))
        }
    }

    #[test]
    fn what_was_given_travels_and_reads_the_same_again() {
        let flow = entry(Many);
        let parse = |flags: &[&str]| {
            let command = flow.add_options(Command::new("many").no_binary_name(true));
            command.try_get_matches_from(flags).unwrap()
        };
        let line = "--shift -1.5 --fast --more --more --layers 1,2 --layers=3 --range 4 5 --data-dir here";
        let matches = parse(&line.split(' ').collect::<Vec<_>>());
        let travels = given(&*flow, &matches).unwrap();
        let expected =
            ["--shift=-1.5", "--fast", "--more", "--more", "--layers=1,2", "--layers=3", "--range", "4", "5"];
        assert_eq!(travels, expected);
        let refused = refuse_of_the_place(&*flow, &matches).unwrap_err().to_string();
        assert!(refused.contains("`--data-dir`") && refused.contains("[flows.many]"), "{refused}");

        let again = parse(&travels.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(given(&*flow, &again).unwrap(), travels);
        assert_eq!(again.get_many::<u32>("layers").unwrap().collect::<Vec<_>>(), [&1, &2, &3]);
        refuse_of_the_place(&*flow, &again).unwrap();
        assert!(given(&*flow, &parse(&[])).unwrap().is_empty(), "defaults stay");
    }
}

//! Schemas of messages: what changes them, what does not, and that no two types share one by accident.

#![allow(dead_code, reason = "only the shapes of these types matter")]

extern crate veilflow_spec as veilflow;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use veilflow::{Message, Name, Schema, Tensor};

fn text<T: Message>() -> String {
    Schema::of::<T>().text().to_owned()
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Named {
    weight: f64,
    values: Tensor,
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Tuple(f64, Option<u32>);

#[derive(Clone, Serialize, Deserialize, Message)]
struct Unit;

#[derive(Clone, Serialize, Deserialize, Message)]
enum Verdict {
    Keep,
    Drop(String),
    Scale { by: f32, r#type: u8 },
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Pair<A, B = f64> {
    first: A,
    second: B,
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Tree {
    value: u32,
    children: Vec<Tree>,
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Even {
    next: Option<Box<Odd>>,
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Odd {
    next: Option<Box<Even>>,
    back: Option<Box<Odd>>,
}

#[test]
fn each_form_has_its_own_text() {
    assert_eq!(text::<Named>(), "struct Named{weight:f64,values:tensor<f32>}");
    assert_eq!(text::<Tuple>(), "struct Tuple(0:f64,1:u32?)");
    assert_eq!(text::<Unit>(), "struct Unit");
    assert_eq!(text::<Verdict>(), "enum Verdict{Keep,Drop(0:text),Scale{by:f32,type:u8}}");
}

#[test]
fn generic_arguments_show_in_the_fields() {
    assert_eq!(text::<Pair<u8>>(), "struct Pair{first:u8,second:f64}");
    assert_eq!(text::<Pair<Unit, Vec<Tuple>>>(), {
        "struct Pair{first:struct Unit,second:[struct Tuple(0:f64,1:u32?)]}"
    });
    assert_eq!(text::<Pair<Pair<u8>>>(), "struct Pair{first:struct Pair{first:u8,second:f64},second:f64}");
}

#[test]
fn containers_show_what_they_hold() {
    type Everything = (BTreeMap<Name, Tensor>, BTreeSet<u8>, Box<bool>, (), (char,));
    assert_eq!(text::<Everything>(), "({name=>tensor<f32>},{u8},bool,unit,(char))");
    let labels: Vec<_> =
        Schema::of::<Everything>().parts().iter().map(|part| part.label().to_owned()).collect();
    assert_eq!(labels, ["{name=>tensor<f32>}", "{u8}", "bool", "unit", "(char)"]);
    assert_eq!(Schema::of::<Vec<Verdict>>().label(), "[Verdict]");
}

#[test]
fn recursion_ends() {
    assert_eq!(text::<Tree>(), "struct Tree{value:u32,children:[Tree^1]}");
    assert_eq!(text::<Even>(), "struct Even{next:struct Odd{next:Even^2?,back:Odd^1?}?}");
    assert_eq!(text::<Odd>(), "struct Odd{next:struct Even{next:Odd^2?}?,back:Odd^1?}");
}

#[test]
fn one_layout_in_several_forms_is_several_schemas() {
    mod as_struct {
        use super::*;
        #[derive(Clone, Serialize, Deserialize, Message)]
        pub(super) struct Same {
            pub(super) first: Unit,
        }
    }
    mod as_enum {
        use super::*;
        #[derive(Clone, Serialize, Deserialize, Message)]
        pub(super) enum Same {
            #[allow(non_camel_case_types)]
            first(Unit),
        }
    }
    mod as_tuple {
        use super::*;
        #[derive(Clone, Serialize, Deserialize, Message)]
        pub(super) struct Same(pub(super) Unit);
    }
    mod as_unit {
        use super::*;
        #[derive(Clone, Serialize, Deserialize, Message)]
        pub(super) struct Same;
    }
    mod as_empty {
        use super::*;
        #[derive(Clone, Serialize, Deserialize, Message)]
        pub(super) struct Same {}
    }
    mod as_empty_tuple {
        use super::*;
        #[derive(Clone, Serialize, Deserialize, Message)]
        pub(super) struct Same();
    }
    let texts = BTreeSet::from([
        text::<as_struct::Same>(),
        text::<as_enum::Same>(),
        text::<as_tuple::Same>(),
        text::<as_unit::Same>(),
        text::<as_empty::Same>(),
        text::<as_empty_tuple::Same>(),
    ]);
    assert_eq!(texts.len(), 6, "{texts:?}");
}

#[derive(Clone, Default)]
struct NoMessage;

/// Has serde, and no `Message`.
#[derive(Clone, Serialize, Deserialize)]
struct Foreign(u128);

#[derive(Clone, Serialize, Deserialize, Message)]
struct Exceptions {
    kept: u8,
    #[serde(skip)]
    cache: NoMessage,
    #[message(foreign = "uuid/1/Uuid")]
    id: Foreign,
}

#[derive(Clone, Serialize, Deserialize, Message)]
enum Skipped {
    Kept,
    #[serde(skip)]
    Internal(NoMessage),
}

#[test]
fn what_does_not_travel_is_left_out_and_foreign_types_stand_by_name() {
    assert_eq!(text::<Exceptions>(), r#"struct Exceptions{kept:u8,id:foreign("uuid/1/Uuid")}"#);
    assert_eq!(text::<Skipped>(), "enum Skipped{Kept}");
    assert_eq!(Schema::foreign("uuid/1/Uuid").label(), "Uuid");
}

#[derive(Clone, Serialize, Deserialize, Message)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum Renamed {
    #[serde(rename = "one", alias = "1")]
    First {
        #[serde(default)]
        some_field: u8,
    },
    Second,
}

/// The same attributes in another order and another spelling.
#[rustfmt::skip]
mod respelled {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, Message)]
    #[serde(tag="kind",)]
    #[serde(rename_all="camelCase")]
    #[serde(bound = "", expecting = "something else")]
    pub(super) enum Renamed {
        #[serde(alias = "1")]
        #[serde(rename = "one")]
        First {
            #[serde(default)]
            some_field: u8,
        },
        Second,
    }
}

#[test]
fn what_serde_writes_otherwise_is_another_schema() {
    let expected = r##"#[rename_all = "camelCase", tag = "kind"]enum Renamed{#[alias = "1", rename = "one"]First{#[default]some_field:u8},Second}"##;
    assert_eq!(text::<Renamed>(), expected);
    assert_eq!(text::<respelled::Renamed>(), expected);
}

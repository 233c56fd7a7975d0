//! Row 3: different survivors for different sites.

use std::{collections::BTreeMap, sync::Arc};

use super::world::{Masked, World, share_in, weight, weight_in};
use crate::{
    defences::{Defence, stands, without},
    *,
};

/// Half of the sites hear that one arrived, half that it dropped out: together they give both its secrets away.
#[test]
fn row_03_attack_with_two_sets_of_survivors() {
    fn attack() -> Result<u64, &'static str> {
        let world = World::malicious(0, 7, if stands(Defence::Majority) { 4 } else { 3 });
        two_stories(world, |_| (0..6).collect())
    }
    assert_eq!(without(Defence::Majority, attack), Ok(weight(6)), "the input of one site");
    assert_eq!(attack(), Err("too-few-signatures"));
    // Nor is there a plan with such a threshold.
    let parameters = Parameters::new().with_reconstruction_threshold(Threshold::Count(3));
    let parameters = parameters.with_security(Security::Malicious { adversaries: 0.0 });
    let error = parameters.plan(7, Layout::new(0, 1)).unwrap_err();
    assert_eq!(error.code(), "curious-server-only");
}

/// On a sparse graph few hold shares of one site, and the stories need to be told to them only: a majority of the
/// neighbours would be a handful, so it is one of the roster.
#[test]
fn row_03_attack_on_the_neighbours_of_one_site() {
    fn attack() -> Result<u64, &'static str> {
        let parameters = Parameters::new()
            .with_security(Security::Malicious { adversaries: 0.0 })
            .with_num_shares(NumShares::Count(6))
            .with_max_weight(1 << 11)
            .with_dropouts(0.0)
            .with_reconstruction_threshold(Threshold::Count(if stands(Defence::Majority) { 4 } else { 3 }));
        let world = World::new(parameters, 12);
        two_stories(world, |server| {
            let neighbours = server.roster.neighbours("site 11").into_iter();
            neighbours.map(|(name, _)| name.trim_start_matches("site ").parse().unwrap()).collect()
        })
    }
    assert_eq!(without(Defence::Majority, attack), Ok(weight(11)), "the input of one site");
    assert_eq!(attack(), Err("too-few-signatures"));
}

/// The last site is the victim. Of the first six whom the server tells anything, three hear that it arrived, three that
/// it did not; each three see their own signatures only.
fn two_stories(
    mut world: World,
    told: impl FnOnce(&UnmaskServer) -> Vec<usize>,
) -> Result<u64, &'static str> {
    let Masked { server, survivors, clients, vectors } = world.masked().map_err(|e| e.code())?;
    let victim = world.names.last().unwrap().clone();
    let mut without_it = survivors.clone();
    Arc::make_mut(&mut without_it.survivors).remove(&victim);
    let next = server.next;
    let told = told(&next);
    let mut clients: BTreeMap<usize, _> = clients.into_iter().enumerate().collect();
    let (mut seeds, mut keys) = (Vec::new(), Vec::new());
    let mut stories = [(Vec::new(), BTreeMap::new()), (Vec::new(), BTreeMap::new())];
    for (turn, site) in told.into_iter().enumerate().take(6) {
        let (story, name) = (usize::from(turn >= 3), world.names[site].clone());
        let client = clients.remove(&site).unwrap();
        let journal = &mut world.journals[site];
        let checked = client.check_consistency([&survivors, &without_it][story], journal);
        let (client, word) = checked.map_err(|e| e.code())?;
        stories[story].0.push((name.clone(), client));
        stories[story].1.insert(name, word.signature.unwrap());
    }
    for (story, (clients, signatures)) in stories.into_iter().enumerate() {
        let message = SignaturesMessage { session: world.session, signatures };
        for (name, client) in clients {
            let answer = client.unmask(&message).map_err(|e| e.code())?;
            let position = next.roster.share_position(&victim, &name).unwrap();
            // By the first story the victim arrived; by the second it did not, and all others did.
            let (kind, found) =
                if story == 0 { (ShareKind::Seed, &mut seeds) } else { (ShareKind::MaskingKey, &mut keys) };
            let share = match kind {
                ShareKind::Seed => share_in(&next, &name, &answer, kind, &victim),
                ShareKind::MaskingKey => answer.masking_keys.first(),
            };
            found.extend(share.map(|share| (position, share.share())));
        }
    }
    Ok(weight_in(&next, &victim, vectors.last().unwrap(), Some(&seeds), &keys))
}

//! A protocol that hides nothing and has every part that a protocol has: for tests of the graph and of runtimes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow::{
    AtAggregator, AtCollaborators, HiddenRole, Means, MessageDigest, Missing, Needs, Opening, Parts,
    SecureProtocol, Sends,
};

/// It clips nothing, and parts with a range of their own come back as they were.
const CLIPPING_RANGE: f64 = 4.0;

/// Sums in the plain.
#[derive(Clone, Default)]
pub(crate) struct Disclosing {
    pub(crate) closed: Arc<Closed>,
}

/// How often a role held something of a session when it was closed.
#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) servers: AtomicUsize,
    pub(crate) clients: AtomicUsize,
}

#[derive(Default)]
pub(crate) struct Server {
    lost: Vec<Missing>,
    message: Option<MessageDigest>,
    closed: Arc<Closed>,
}

#[derive(Default)]
pub(crate) struct Client {
    greeted: bool,
    message: Option<MessageDigest>,
    closed: Arc<Closed>,
}

#[derive(Clone, Serialize, Deserialize, Message)]
pub(crate) struct Disclosed {
    message: Vec<u8>,
    weight: u64,
    scalars: Vec<f64>,
    vector: Tensor,
}

impl Server {
    fn greet(&mut self, opening: Opening, _cx: &Context) -> Result<Foreach<u32>> {
        self.message = Some(opening.message());
        Ok(Foreach::only(opening.invited(), 0))
    }

    fn greeted(&mut self, inputs: Inputs<u32>, _cx: &Context) -> Result<Foreach<u32, Each>> {
        self.lost.extend_from_slice(inputs.missing());
        Ok(Foreach::each(inputs))
    }

    fn add_up<T: SecureSum>(&mut self, inputs: Inputs<Disclosed>, _cx: &Context) -> Result<Sum<T>> {
        self.lost.extend_from_slice(inputs.missing());
        let message = self.message.ok_or_else(|| StepError::msg("no session"))?;
        let total: u64 = inputs.values().map(|input| input.weight).sum();
        let (mut scalars, mut vector) = (vec![0.0; T::layout().scalars()], vec![0.0; T::layout().vector()]);
        let names: Vec<_> = inputs.names().cloned().collect();
        for input in inputs.into_values() {
            if input.message != message.as_bytes() {
                return Err(StepError::msg("somebody was given another message"));
            }
            let part = input.weight as f64 / total as f64;
            scalars.iter_mut().zip(input.scalars).for_each(|(sum, value)| *sum += part * value);
            let values = input.vector.values().iter();
            vector.iter_mut().zip(values).for_each(|(sum, value)| *sum += part as f32 * value);
        }
        let mean = T::read(total, &mut Means::new(&scalars, &vector, CLIPPING_RANGE))?;
        Ok(Sum::new(mean, total, names, std::mem::take(&mut self.lost)))
    }
}

impl Client {
    fn hello(&mut self, number: u32, _cx: &Context) -> Result<u32> {
        self.greeted = true;
        Ok(number)
    }

    fn settle(&mut self, _: u32, _cx: &Context) -> Result<()> {
        Ok(())
    }

    fn disclose<T: SecureSum>(&mut self, input: T, _cx: &Context) -> Result<Disclosed> {
        let message = self.message.ok_or_else(|| StepError::msg("given nothing"))?.as_bytes().to_vec();
        let parts = Parts::of(&input, CLIPPING_RANGE)?;
        let (scalars, vector) = (parts.scalars().to_vec(), Tensor::vector(parts.vector().to_vec()));
        Ok(Disclosed { message, weight: input.weight(), scalars, vector })
    }
}

impl HiddenRole for Server {
    fn close(&mut self) {
        let open = self.message.take().is_some();
        self.lost.clear();
        self.closed.servers.fetch_add(usize::from(open), Ordering::SeqCst);
    }
}

impl HiddenRole for Client {
    fn close(&mut self) {
        let open = std::mem::take(&mut self.greeted);
        self.message = None;
        self.closed.clients.fetch_add(usize::from(open), Ordering::SeqCst);
    }
}

impl<T: SecureSum> SecureProtocol<T> for Disclosing {
    type Server = Server;
    type Client = Client;

    fn name(&self) -> &'static str {
        "disclosing"
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![("hidden", "nothing".to_owned())]
    }

    fn needs(&self, invited: usize) -> Result<Needs> {
        Ok(Needs { inputs: 1.min(invited), unmasking: 1 })
    }

    fn server(&self, _cx: &Context) -> Result<Server> {
        Ok(Server { closed: Arc::clone(&self.closed), ..Server::default() })
    }

    fn client(&self, _cx: &Context) -> Result<Client> {
        Ok(Client { closed: Arc::clone(&self.closed), ..Client::default() })
    }

    fn setup(
        &self,
        start: AtAggregator<Server, Client, Opening, Opening>,
    ) -> AtCollaborators<Server, Client, Opening, (), impl Sends> {
        start.then(Server::greet).foreach(Client::hello).join(Server::greeted).foreach(Client::settle)
    }

    fn bind(client: &mut Client, message: MessageDigest) {
        client.message = Some(message);
    }

    fn rounds(
        &self,
        input: AtCollaborators<Server, Client, T, T>,
    ) -> AtAggregator<Server, Client, T, Sum<T>> {
        input.then(Client::disclose::<T>).join(Server::add_up::<T>)
    }
}

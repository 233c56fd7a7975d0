// A protocol in name, and a message that it would sum.

#[allow(dead_code)]
struct Hiding;
#[allow(dead_code)]
struct Role;

#[allow(dead_code)]
fn anything<T>() -> T {
    unimplemented!()
}

impl veilflow::HiddenRole for Role {
    fn close(&mut self) {}
}

impl<T: SecureSum> veilflow::SecureProtocol<T> for Hiding {
    type Server = Role;
    type Client = Role;

    fn name(&self) -> &'static str {
        "hiding"
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn needs(&self, _: usize) -> Result<veilflow::Needs> {
        unimplemented!()
    }

    fn server(&self, _cx: &Context) -> Result<Role> {
        Ok(Role)
    }

    fn client(&self, _cx: &Context) -> Result<Role> {
        Ok(Role)
    }

    fn setup(
        &self,
        _: veilflow::AtAggregator<Role, Role, veilflow::Opening, veilflow::Opening>,
    ) -> veilflow::AtCollaborators<Role, Role, veilflow::Opening, (), impl veilflow::Sends> {
        anything::<veilflow::AtCollaborators<Role, Role, veilflow::Opening, ()>>()
    }

    fn bind(_: &mut Role, _: veilflow::MessageDigest) {}

    fn rounds(
        &self,
        _: veilflow::AtCollaborators<Role, Role, T, T>,
    ) -> veilflow::AtAggregator<Role, Role, T, Sum<T>> {
        unimplemented!()
    }
}

#[allow(dead_code)]
#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Weighted {
    model: f64,
    #[secure_sum(weight)]
    examples: u64,
}

//! The instances' own names, which Domains are led to: whose has changed, so that its Domains look again.

use std::collections::HashMap;

use crds::AppInstance;
use kube::runtime::reflector::Store;

use crate::cache::InstanceKey;

/// Names as they were told last.
#[derive(Default)]
pub struct Targets(HashMap<InstanceKey, String>);

impl Targets {
    /// Takes note of an instance; `None` when it is gone. Whether it has another name than before.
    pub fn note(&mut self, key: &InstanceKey, instance: Option<&AppInstance>) -> bool {
        let target = instance.and_then(|it| it.status.as_ref()?.host.clone());
        let before = match &target {
            Some(target) => self.0.insert(key.clone(), target.clone()),
            None => self.0.remove(key),
        };
        before != target
    }

    /// Forgets instances that went without a word, and names them.
    pub fn forget_unseen(&mut self, all: &Store<AppInstance>) -> Vec<InstanceKey> {
        let is_unseen = |key: &InstanceKey, _: &mut String| all.get(&key.reference()).is_none();
        self.0.extract_if(is_unseen).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector::store, watcher::Event};

    use super::*;

    fn instance(host: Option<&str>) -> AppInstance {
        let mut instance = AppInstance::new("blog", Default::default());
        instance.metadata.namespace = Some("acme".to_owned());
        instance.status = Some(Default::default());
        instance.status.as_mut().unwrap().host = host.map(str::to_owned);
        instance
    }

    fn blog() -> InstanceKey {
        InstanceKey {
            namespace: "acme".to_owned(),
            name: "blog".to_owned(),
        }
    }

    #[test]
    fn an_instance_that_gets_a_name_loses_it_with_its_end_or_comes_again_is_told_once() {
        let (early, named) = (instance(None), instance(Some("blog-a.apps.test")));
        let again = instance(Some("blog-b.apps.test"));
        let mut targets = Targets::default();
        let told = [
            Some(&early),
            Some(&named),
            Some(&named),
            None,
            None,
            Some(&early),
            Some(&named),
            // Its end went unseen.
            Some(&again),
        ]
        .map(|news| targets.note(&blog(), news));
        assert_eq!(told, [false, true, false, true, false, false, true, true]);
    }

    #[test]
    fn an_instance_that_went_while_nobody_watched_is_missed_in_the_next_list() {
        let (all, mut writer) = store();
        let named = instance(Some("blog-a.apps.test"));
        writer.apply_watcher_event(&Event::Apply(named.clone()));
        let mut targets = Targets::default();
        targets.note(&blog(), Some(&named));
        assert_eq!(targets.forget_unseen(&all), []);
        writer.apply_watcher_event(&Event::Init::<AppInstance>);
        writer.apply_watcher_event(&Event::InitDone::<AppInstance>);
        assert_eq!(targets.forget_unseen(&all), [blog()]);
        assert_eq!(targets.forget_unseen(&all), []);
    }
}

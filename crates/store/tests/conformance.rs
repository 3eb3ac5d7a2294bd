//! The promises of object stores that a store relies on, kept by memory and by local folders.
//! Servers go through the same tests in the part `objects` of `cargo xtask test`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use tempfile::TempDir;
use tresor_store::LocalObjects;
use tresor_testkit::conformance::{Place, runtime};

mod memory {
    use super::*;

    fn place() -> Place {
        Place::new(Arc::new(InMemory::new()), runtime(), ())
    }

    tresor_testkit::objects_conform!(place);
}

mod prefix {
    use super::*;

    fn place() -> Place {
        Place::new(Arc::new(PrefixStore::new(InMemory::new(), "some/where")), runtime(), ())
    }

    // The large packs would be those of memory once more.
    tresor_testkit::objects_conform!(place, conformance:
        lists_are_whole, deleted_is_gone, names_are_kept);
    tresor_testkit::objects_conform!(place, journey: a_store_lives_there, faults_are_outlasted);
}

mod local {
    use super::*;

    fn place() -> Place {
        let folder = TempDir::new().unwrap();
        let objects = LocalObjects::open(folder.path()).unwrap();
        Place::new(Arc::new(objects), runtime(), folder)
    }

    tresor_testkit::objects_conform!(place);
}

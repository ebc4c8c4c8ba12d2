//! Clients write through routes and workloads, and remember what was acknowledged; copies are taken meanwhile.
//! Must not know runs.

use mainstay_model::Access;

use super::{Ev, World, truth::Acked};
use crate::{
    bugs::Own,
    clock::{MS, SECOND, Time},
};

/// A copy that was read and is not yet in its place.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) store: usize,
    pub(crate) site: usize,
    pub(crate) source: usize,
    pub(crate) content: Vec<u32>,
    pub(crate) mark: mainstay_model::Mark,
    pub(crate) dated: mainstay_model::Timestamp,
    pub(crate) changes: u64,
}

impl World {
    /// A client wants to write to a store.
    pub(super) fn client(&mut self, store: usize) {
        // Long waits at the end of a story need less traffic.
        let busy = self.now < self.calm_at;
        let pause = self.dice.between(120 * MS, 900 * MS) * if busy { 1 } else { 4 };
        self.at(self.now + pause, Ev::Client(store));
        let Some((site, by)) = self.reached(store) else {
            return;
        };
        if !self.writable(store, site) || !self.reads(by, site) {
            return;
        }
        self.writes += 1;
        let write = self.writes;
        let replica = &mut self.stores[store].at[site];
        replica.content.push(write);
        replica.written = true;
        let back = self.dice.between(MS, 15 * MS);
        self.at(self.now + back, Ev::Ack { store, write, site });
    }

    /// The store's site that a client reaches, and the site that it goes through.
    fn reached(&mut self, store: usize) -> Option<(usize, usize)> {
        let data = self.topology.data();
        // Some clients know nothing of routes, or kept an old address.
        if self.dice.chance(150) {
            let site = self.dice.index(data);
            return Some((site, site));
        }
        let users: Vec<usize> = (0..self.workloads.len())
            .filter(|it| self.topology.uses[*it].contains(&store))
            .collect();
        if users.is_empty() {
            let site = self.owner(store)?;
            return Some((site, site));
        }
        let user = users[self.dice.index(users.len())];
        let site = if self.is_scheduler(user) {
            (0..data).find(|site| self.works(user, *site))?
        } else {
            self.served_at(user)?
        };
        let instance = &self.workloads[user][site];
        let ready = instance.running && instance.ready_at <= self.now && self.sites[site].up;
        let bound = instance.bound.get(&store).copied().unwrap_or(site);
        ready.then_some((bound, site))
    }

    /// Where a client's request to a workload ends up.
    fn served_at(&mut self, workload: usize) -> Option<usize> {
        let name = &self.topology.workloads[workload];
        let routes = self.topology.file.routes.iter();
        let front = routes
            .filter(|(_, route)| route.serves.contains(name))
            .find_map(|(route, _)| self.topology.route(route));
        let data = self.topology.data();
        match front {
            None => (0..data).find(|site| self.workloads[workload][*site].running),
            Some(route) => {
                let weights = &self.routes[route].weights;
                let sites: Vec<usize> = weights
                    .iter()
                    .filter(|(_, weight)| **weight > 0)
                    .map(|(name, _)| self.topology.site(name))
                    .collect();
                let pick = self.dice.index(sites.len());
                sites.get(pick).copied()
            }
        }
    }

    /// The client hears that its write is safe, if the site still lives.
    pub(super) fn acknowledge(&mut self, store: usize, write: u32, site: usize) {
        if self.sites[site].up {
            self.stores[store].acked.push(Acked {
                write,
                at: self.now,
            });
        }
    }

    /// Time for the next copy.
    pub(super) fn copy(&mut self, store: usize, site: usize) {
        let every = self.topology.declared_store(store).copy.as_ref();
        let every = every
            .and_then(|copy| copy.every)
            .map_or(5 * SECOND, |it| it.0);
        let every: Time = every + self.dice.between(0, 200 * MS);
        self.at(self.now + every, Ev::Copy(store, site));
        let name = &self.topology.stores[store];
        let it = &self.sites[site];
        let agent = &it.agent;
        let replica = &self.stores[store].at[site];
        let may = it.up
            && agent.alive
            && replica.access == Access::Replica
            && !replica.copying
            && !agent.held.contains(name)
            && !agent.owned.contains_key(name);
        // A copy follows whom its own mark names, as the agents' copies do.
        let source = Some(self.topology.site(&replica.mark.owner)).filter(|source| {
            *source != site
                && self.reads(site, *source)
                && self.stores[store].at[*source].mark.epoch >= replica.mark.epoch
        });
        let (true, Some(source)) = (may, source) else {
            return;
        };
        // Dated before its first byte is read.
        let taken_at = self.sites[site].clock.wall(self.now);
        self.stores[store].at[site].copying = true;
        let read = self.now + self.dice.between(MS, 300 * MS);
        let taken = Taken {
            store,
            site,
            source,
            content: Vec::new(),
            mark: self.stores[store].at[source].mark.clone(),
            dated: taken_at,
            changes: self.stores[store].at[site].changes,
        };
        self.at(read, Ev::CopyRead(Box::new(taken)));
    }

    /// The copy's bytes are read.
    pub(super) fn copy_read(&mut self, mut taken: Taken) {
        let source = &self.stores[taken.store].at[taken.source];
        let readable = matches!(source.access, Access::Open | Access::Sealed);
        if !self.reads(taken.site, taken.source) || !readable || !self.sites[taken.site].up {
            self.stores[taken.store].at[taken.site].copying = false;
            return;
        }
        taken.content.clone_from(&source.content);
        taken.mark = source.mark.clone();
        let done = self.now + self.dice.between(MS, 800 * MS);
        self.at(done, Ev::CopyDone(Box::new(taken)));
    }

    /// The copy is verified and put in its place, if nothing has happened to the store meanwhile.
    pub(super) fn copy_done(&mut self, mut taken: Taken) {
        if self.has(Own::CopyDatedLate) {
            taken.dated = self.sites[taken.site].clock.wall(self.now);
        }
        let replica = &mut self.stores[taken.store].at[taken.site];
        replica.copying = false;
        let fits = replica.access == Access::Replica
            && replica.changes == taken.changes
            && replica.mark.epoch <= taken.mark.epoch
            && self.sites[taken.site].up
            && self.sites[taken.site].agent.alive;
        if fits {
            let Taken {
                store,
                site,
                source,
                content,
                mark,
                dated: taken_at,
                ..
            } = taken;
            self.install(store, site, source, content, mark, taken_at);
        }
    }
}

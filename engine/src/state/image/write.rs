//! From a state to its image.

use alloc::vec;
use alloc::vec::Vec;

use super::{IMAGE_VERSION, MAGIC, PLACED_PLAYERS, Part, layout};
use crate::field::Field;
use crate::state::players::PURSES;
use crate::state::table::{Row, Table};
use crate::state::{Asset, Ids, Player, State};

/// How many bytes are handed over at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Collects bytes, and hands them over in pieces.
pub(crate) struct Output<F> {
    piece: Vec<u8>,
    sink: F,
    /// The number of the next table.
    table: u16,
    /// How many bytes were handed over.
    handed_over: u64,
    /// Where the players lie that have a place, and what comes after them.
    places: Vec<u64>,
}

impl<F, E> Output<F>
where
    F: FnMut(&[u8]) -> Result<(), E>,
{
    fn room(&mut self, bytes: usize) -> Result<&mut [u8], E> {
        if self.piece.len() + bytes > PIECE_BYTES {
            self.hand_over()?;
        }
        let at = self.piece.len();
        self.piece.resize(at + bytes, 0);
        Ok(&mut self.piece[at..])
    }

    fn hand_over(&mut self) -> Result<(), E> {
        (self.sink)(&self.piece)?;
        self.handed_over += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    fn put<T: Field>(&mut self, value: T) -> Result<(), E> {
        value.put(self.room(T::BYTES)?);
        Ok(())
    }

    fn place(&self) -> u64 {
        self.handed_over + self.piece.len() as u64
    }

    fn part(&mut self, number: u16, entries: u64) -> Result<(), E> {
        self.put(number)?;
        self.put(entries)
    }

    pub(crate) fn table<R: Row>(&mut self, table: &Table<R>) -> Result<(), E> {
        self.part(self.table, table.len() as u64)?;
        self.table += 1;
        for row in table.sorted() {
            row.put(self.room(R::BYTES)?);
        }
        Ok(())
    }
}

impl State {
    /// Hands the image of the state to `sink`, piece by piece. A piece has at most some 64 KiB. Costs a list of the
    /// largest table's rows besides.
    ///
    /// # Errors
    /// What `sink` says; the image is then cut off.
    ///
    /// # Panics
    /// While a group is being tried.
    pub fn write_image<E>(&self, sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        // Taken apart, so that nothing new is forgotten here. What is not named in the image follows from the rest.
        let Self {
            next_lsn,
            clock,
            settings,
            assets,
            players: _,
            house: _,
            rows,
            switches: _,
            ids,
            keys,
            last_session,
            last_grant,
            scratch,
            seed: _,
        } = self;
        assert!(scratch.is_none(), "an image is of decided books");
        let piece = Vec::with_capacity(PIECE_BYTES);
        let mut out = Output { piece, sink, table: Part::Table as u16, handed_over: 0, places: Vec::new() };
        out.put(MAGIC)?;
        out.put(IMAGE_VERSION)?;
        out.put(layout())?;
        out.part(Part::Head as u16, 1)?;
        out.put(*next_lsn)?;
        out.put(*clock)?;
        out.put(settings.is_some())?;
        out.put(*settings)?;
        out.put(*last_session)?;
        out.put(*last_grant)?;
        put_assets(assets, &mut out)?;
        self.put_players(&mut out)?;
        self.put_house(&mut out)?;
        rows.put_all(&mut out)?;
        put_ids(ids.as_ref(), &mut out)?;
        out.part(Part::Keys as u16, keys.len() as u64)?;
        for (key, remembered) in keys.iter() {
            out.put(*key)?;
            out.put(remembered.digest)?;
            out.put(remembered.lsn)?;
        }
        put_places(&mut out)?;
        out.hand_over()
    }

    fn put_players<F, E>(&self, out: &mut Output<F>) -> Result<(), E>
    where
        F: FnMut(&[u8]) -> Result<(), E>,
    {
        out.part(Part::Players as u16, self.players.len() as u64)?;
        let mut holdings = vec![];
        for (number, (id, player)) in (0_u64..).zip(self.players.iter()) {
            if number.is_multiple_of(PLACED_PLAYERS) {
                out.places.push(out.place());
            }
            let Player { caller_id, brand, jurisdiction, class, status, reason, kyc_held, kyc_reason } =
                *player;
            out.put(caller_id)?;
            out.put(brand)?;
            out.put(jurisdiction)?;
            out.put(class)?;
            out.put(status)?;
            out.put(reason)?;
            out.put(kyc_held)?;
            out.put(kyc_reason)?;
            out.put(self.players.latest(id))?;
            holdings.clear();
            let held = self.players.holdings(id);
            holdings.extend(held.filter(|(_, purses)| purses.iter().any(|held| *held != 0)));
            holdings.sort_unstable();
            out.put(holdings.len() as u16)?;
            for (asset, purses) in &holdings {
                out.put(*asset)?;
                let filled = (0..PURSES.len()).filter(|at| purses[*at] != 0);
                out.put(filled.fold(0_u8, |filled, at| filled | 1 << at))?;
                for held in purses.iter().filter(|held| **held != 0) {
                    out.put(*held)?;
                }
            }
        }
        Ok(())
    }

    fn put_house<F, E>(&self, out: &mut Output<F>) -> Result<(), E>
    where
        F: FnMut(&[u8]) -> Result<(), E>,
    {
        let mut accounts: Vec<_> = self.house.iter().filter(|(_, held)| held.0 != 0).collect();
        accounts.sort_unstable();
        out.places.push(out.place());
        out.part(Part::House as u16, accounts.len() as u64)?;
        for (account, held) in accounts {
            out.put(account.0)?;
            out.put(held)?;
        }
        Ok(())
    }
}

fn put_assets<F, E>(assets: &[Asset], out: &mut Output<F>) -> Result<(), E>
where
    F: FnMut(&[u8]) -> Result<(), E>,
{
    out.part(Part::Assets as u16, assets.len() as u64)?;
    for asset in assets {
        // The totals are those of the accounts.
        let Asset { code, scale, transfers, amount_max, players_total: _, house_total: _ } = *asset;
        out.put(code)?;
        out.put(scale)?;
        out.put(transfers)?;
        out.put(amount_max)?;
    }
    Ok(())
}

fn put_ids<F, E>(ids: Option<&Ids>, out: &mut Output<F>) -> Result<(), E>
where
    F: FnMut(&[u8]) -> Result<(), E>,
{
    out.part(Part::Ids as u16, ids.map_or(0, Ids::len))?;
    let Some(ids) = ids else { return Ok(()) };
    out.put(ids.horizon())?;
    // Tail and head first, then the times of as many blocks as begin between them.
    for age in ids.ages() {
        out.put(age)?;
    }
    for entry in ids.iter() {
        for word in entry {
            out.put(*word)?;
        }
    }
    Ok(())
}

/// The last of the image is where this part begins.
fn put_places<F, E>(out: &mut Output<F>) -> Result<(), E>
where
    F: FnMut(&[u8]) -> Result<(), E>,
{
    let (begin, places) = (out.place(), core::mem::take(&mut out.places));
    out.part(Part::Places as u16, places.len() as u64)?;
    places.into_iter().try_for_each(|place| out.put(place))?;
    out.put(begin)
}

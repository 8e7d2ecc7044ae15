//! Looking something up in an index.

use ondisk::Name;

use super::{Index, IndexedResource};
use crate::{Context, Error};

/// What to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexQuery {
    /// The first place where no resource stands.
    FreePlace,
    /// The place of the resource with this name.
    Name(Name),
    /// The name of the resource at this byte of the disk.
    Offset(u64),
    /// Whether the resource at this byte of the disk has this name.
    Both(Name, u64),
}

/// Looks something up.
///
/// # Errors
/// If the index cannot be read; if there is no such resource; if it has another name.
pub async fn lookup(
    ctx: &Context,
    index: &Index,
    query: IndexQuery,
) -> Result<IndexedResource, Error> {
    let header = index.read_header(ctx).await?;
    let loaded = index.read(ctx, header).await?;
    let view = index.view(&loaded)?;
    let missing = |name| Error::NotInIndex {
        lease: index.boxed_name(),
        name,
    };
    let entry_at = |offset| {
        let slot = index.slot_at(&view, offset)?;
        view.get(slot.index)
            .map(|(_, entry)| entry)
            .ok_or_else(|| index.no_such_offset(offset))
    };
    match query {
        IndexQuery::FreePlace => {
            let slot = view.first_free().ok_or_else(|| missing(None))?;
            Ok(IndexedResource {
                name: Name::EMPTY,
                offset: slot.res_offset,
            })
        }
        IndexQuery::Name(name) => {
            let slot = view
                .find(&name)
                .ok_or_else(|| missing(Some(Box::new(name))))?;
            Ok(IndexedResource {
                name,
                offset: slot.res_offset,
            })
        }
        IndexQuery::Offset(offset) => Ok(IndexedResource {
            name: entry_at(offset)?.name,
            offset,
        }),
        IndexQuery::Both(wanted, offset) => {
            let found = entry_at(offset)?.name;
            if found == wanted {
                return Ok(IndexedResource {
                    name: found,
                    offset,
                });
            }
            let (found, wanted) = (Box::new(found), Box::new(wanted));
            Err(Error::IndexDiff {
                lease: index.boxed_name(),
                offset,
                found,
                wanted,
            })
        }
    }
}

//! Making an index anew from the resources that stand behind it.

use ondisk::{RindexEntry, RindexHeader};
use storage::Buffer;

use super::Index;
use super::change::{IndexMember, IndexOp, lock, unlock};
use crate::resource::read_any_resource;
use crate::{Context, Error};

/// The code of a read beyond the end of the disk.
const EMSGSIZE: i32 = -90;

/// Looks at every place where a resource of the index can stand, up to the end of the disk, and writes
/// all entries anew. How many there are is returned.
///
/// Without `member` the internal lease is not taken: nobody else may use the index meanwhile.
pub async fn rebuild(
    ctx: &Context,
    index: &Index,
    member: Option<IndexMember<'_>>,
) -> IndexOp<u32> {
    let header = match index.read_header(ctx).await {
        Ok(header) => header,
        Err(error) => return error.into(),
    };
    let Some(member) = member else {
        return IndexOp {
            result: rebuild_locked(ctx, index, header).await,
            undo: None,
        };
    };
    let geometry = match header.geometry().map_err(index.fault()) {
        Ok(geometry) => geometry,
        Err(error) => return error.into(),
    };
    let held = match lock(ctx, index, geometry, member).await {
        Ok(held) => held,
        Err(error) => return error.into(),
    };
    let result = rebuild_locked(ctx, index, header).await;
    unlock(ctx, &held, result).await
}

async fn rebuild_locked(ctx: &Context, index: &Index, header: RindexHeader) -> Result<u32, Error> {
    let geometry = header.geometry().map_err(index.fault())?;
    let loaded = index.read(ctx, header).await?;
    let view = index.view(&loaded)?;
    let mut whole = Buffer::copy_of(&loaded.bytes);
    if let Some(entries) = whole.get_mut(geometry.sector.bytes()..) {
        entries.fill(0);
    }
    let mut found = 0;
    for slot in (0..).map_while(|number| view.slot(number)) {
        let name = match read_any_resource(ctx, &index.area.at(slot.res_offset), geometry).await {
            Ok(resource) => resource.name,
            Err(error) if error.code() == EMSGSIZE => break,
            Err(_) => continue,
        };
        found += 1;
        let entry = RindexEntry {
            res_offset: slot.res_offset,
            name,
            ..RindexEntry::default()
        };
        if let Some(place) = whole.get_mut(slot.entry_offset..) {
            entry.encode(place);
        }
    }
    let written = index.area.write(ctx, 0, whole).await;
    written.map_err(index.name().io(&index.area, "write it"))?;
    tracing::info!(index = %index.name(), found, "rebuilt");
    Ok(found)
}

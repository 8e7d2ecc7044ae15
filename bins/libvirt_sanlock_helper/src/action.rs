//! What is done to the guest.

use libvirt_rpc::remote::{self, DomainArgs};
use libvirt_rpc::{ErrorCode, ErrorDomain, Procedure};

use crate::arguments::{Action, Order};
use crate::{Failure, Libvirt, call, failure, report, uuid};

/// What has become of an order that libvirt had nothing against.
pub(crate) enum Outcome {
    /// It is done; how the guest is now.
    Done(String),
    /// Nobody can do that; why.
    Cannot(String),
}

/// Finds the guest and does it.
pub(crate) fn carry_out(libvirt: &mut Libvirt, order: &Order) -> Result<Outcome, Failure> {
    let uuid = uuid::parse(&order.uuid).ok_or_else(|| {
        let mut invalid = failure(ErrorCode::INVALID_ARG, ErrorDomain::DOMAIN, "");
        invalid.message = Some(libvirt_rpc::Text::cut("Invalid UUID"));
        invalid
    })?;
    let wanted = remote::LookupByUuidArgs { uuid };
    let found: remote::DomainRet = call(libvirt, remote::DOMAIN_LOOKUP_BY_UUID, &wanted)?;
    let guest = DomainArgs {
        domain: found.domain,
    };
    let name = guest.domain.name.clone();
    match order.action {
        Action::Poweroff => match act(libvirt, remote::DOMAIN_DESTROY, &guest) {
            Ok(()) => Ok(Outcome::Done(format!("{name} is powered off"))),
            Err(refusal) => {
                if is_active(libvirt, &guest)? {
                    return Err(refusal);
                }
                // The original says so too, and is content.
                report(&refusal);
                Ok(Outcome::Done(format!("{name} was off already")))
            }
        },
        Action::Pause => {
            act(libvirt, remote::DOMAIN_SUSPEND, &guest)?;
            Ok(Outcome::Done(format!("{name} is paused")))
        }
        Action::Unsupported(action) => Ok(Outcome::Cannot(format!(
            "unsupported failure action: '{action}'"
        ))),
    }
}

fn act(libvirt: &mut Libvirt, procedure: Procedure, guest: &DomainArgs) -> Result<(), Failure> {
    call(libvirt, procedure, guest)
}

fn is_active(libvirt: &mut Libvirt, guest: &DomainArgs) -> Result<bool, Failure> {
    let answer: remote::IsActiveRet = call(libvirt, remote::DOMAIN_IS_ACTIVE, guest)?;
    Ok(answer.active != 0)
}

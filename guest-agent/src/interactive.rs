// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest for a person: the driver loaded, a listener that prints each
//! event, and a shell on the console. The guest ends with the shell.

use irqbed_abi::control::{Behaviour, ListenerSpec, Mechanism};

use crate::{agent::Agent, console::print_line, module};

/// Starts everything. What fails is said on the console: a person whose driver
/// does not load needs the shell most.
pub fn start(agent: &mut Agent, command_line: &str) {
    let unicast = ListenerSpec::new(Mechanism::Netlink, Behaviour::Print);
    // A driver told to broadcast takes no subscribers.
    let broadcast = ListenerSpec::new(Mechanism::NetlinkBroadcast, Behaviour::Print);
    let listening = module::load(&module::parameters_from(command_line)).and_then(|()| {
        agent
            .listen(&unicast)
            .or_else(|error| agent.listen(&broadcast).map_err(|_| error))
    });
    match listening {
        Ok((_, port_id)) => print_line(&format!(
            "\nirqbed: the driver is loaded, and a listener (netlink port {port_id}) prints each event.\n\
             irqbed: `irqbed raise` (`./just raise`) in another terminal makes the device interrupt;\n\
             irqbed: `dmesg` shows the driver's log, `exit` ends the guest.\n"
        )),
        Err(error) => print_line(&format!("\nirqbed: no listener runs: {error:#}\n")),
    }
    if let Err(error) = agent.open_shell() {
        print_line(&format!("irqbed: no shell: {error:#}"));
    }
}

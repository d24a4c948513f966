// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conditional jumps are told from all else. Nothing but QEMU can load the plugin itself.

#[path = "../src/jump.rs"]
mod jump;

use jump::Jump;

fn ways(code: &[u8]) -> Option<(u64, u64)> {
    let jump = Jump::of(0x1000, code)?;
    assert_eq!(jump.address, 0x1000);
    Some((jump.next, jump.target))
}

#[test]
fn a_conditional_jump_has_two_ways() {
    assert_eq!(ways(&[0x74, 0x10]), Some((0x1002, 0x1012)));
    assert_eq!(ways(&[0x7f, 0xfe]), Some((0x1002, 0x1000)));
    assert_eq!(ways(&[0x3e, 0x75, 0x02]), Some((0x1003, 0x1005)));
    let far = [0x0f, 0x85, 0x00, 0x01, 0x00, 0x00];
    assert_eq!(ways(&far), Some((0x1006, 0x1106)));
}

#[test]
fn another_instruction_has_none() {
    let (jmp, setne, cut) = ([0xeb, 0x10], [0x0f, 0x95, 0xc0], [0x0f, 0x85, 0x00]);
    for other in [&jmp[..], &setne, &cut, &[]] {
        assert_eq!(ways(other), None, "{other:x?}");
    }
}

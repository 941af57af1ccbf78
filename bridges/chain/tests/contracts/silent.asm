; A token whose transfer returns nothing, as some great ones do.
;
; A word pushes an instruction, 0x.. pushes its bytes, @NAME pushes the place of a label, NAME: is a label (JUMPDEST).
; What an account has lies in storage under its address. Stacks are written with the top at the right.

PUSH0 CALLDATALOAD 0xe0 SHR
DUP1 0xa9059cbb EQ @transfer JUMPI      ; transfer(address,uint256)
DUP1 0x70a08231 EQ @balance JUMPI       ; balanceOf(address)
DUP1 0x313ce567 EQ @decimals JUMPI      ; decimals()
0x40c10f19 EQ @mint JUMPI               ; mint(address,uint256): anybody may
fail: PUSH0 PUSH0 REVERT

balance: 0x04 CALLDATALOAD SLOAD PUSH0 MSTORE 0x20 PUSH0 RETURN
decimals: 0x06 PUSH0 MSTORE 0x20 PUSH0 RETURN
mint: 0x24 CALLDATALOAD 0x04 CALLDATALOAD SLOAD ADD 0x04 CALLDATALOAD SSTORE STOP

transfer:
0x24 CALLDATALOAD CALLER SLOAD           ; amount has
DUP2 DUP2 LT @fail JUMPI                ; has less: fail
DUP2 SWAP1 SUB CALLER SSTORE            ; amount
DUP1
0x04 CALLDATALOAD SLOAD ADD 0x04 CALLDATALOAD SSTORE
PUSH0 MSTORE                            ; the log says the whole amount
0x04 CALLDATALOAD CALLER
0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef
0x20 PUSH0 LOG3
STOP

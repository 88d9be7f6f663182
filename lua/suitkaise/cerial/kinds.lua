--- Numbers that the Lua side and the C side of cerial agree on: KIND_*,
-- CALL_* and THE_* of src/lua/cerial_format.h.
-- @module suitkaise.cerial.kinds
-- @local

return {
  REFERENCE = 1, FULL = 2, CLASS = 3, MODULE = 4, GLOBALS = 5, HOOK = 6,
  REPLACE = 7, STRUCT = 8, INT64 = 9, UINT64 = 10, COMPLEX = 11,
  call = {
    NAME = 1, OBJECT = 2, SPECIAL = 3, FAIL = 4, RESOLVE = 5, REVIVE = 6,
    STAND_IN = 7, BUILD = 8, REPLACE = 9, REFUSE = 10, VM = 11,
    REGISTERED = 12, ENVIRONMENT = 13, KNOWN = 14,
  },
}

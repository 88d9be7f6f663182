-- Numbers that the core's items and the binding know; see src/lua/share.h.
return {
  ABSENT = 0, INT = 1, FLOAT = 2, TABLE = 3, OBJECT = 4, STRING = 5,
  BOOLEAN = 6, CERIAL = 7, WHOLE = 8,
  CLASS_FIELD = "\0class", -- of an object: its class's token
  ROOT = 65536,            -- a depth: which of the share's roots, times this
  ERRORS = 1 * 65536,      -- errors that nobody waited for
  PRIVATE = 2 * 65536,     -- what the library keeps: classes
  INSIDE = 1,              -- a read that waits for what changes an object
  ENTRIES = 2,             -- a read that waits for what changes an entry
  APPLIED = 4,             -- added: what it waits for is applied
}

-- The fast path of shares: LuaJIT's compiler calls the binding directly. What
-- cannot be done at once is left to the ordinary way in C.
--
-- Freshness is asked by a call, never by loads through a pointer: the compiler
-- would move such loads out of a loop that waits for another process.

local core = require "suitkaise.core"
local kinds = require "suitkaise.share.kinds"

local DECLARATIONS = [[
  typedef struct { uint64_t off, word, moves; } lsk_share_seen;
  typedef struct {
    double number;
    const char *data;
    uint32_t kind, len;
    lsk_share_seen seen;
  } lsk_share_look;
  typedef struct { void *share; lsk_share_look look; } lsk_share_head;
  int lsk_share_quick_fresh (const lsk_share_head *h,
                             const lsk_share_seen *seen);
  int lsk_share_quick_get (lsk_share_head *h, const char *path, size_t len,
                           uint32_t depth, const char *key, size_t klen,
                           double nkey, int how);
  int lsk_share_quick_set (lsk_share_head *h, const char *path, size_t len,
                           uint32_t depth, const char *key, size_t klen,
                           double nkey, uint32_t kind, const char *s,
                           size_t slen, double number);
]]

local ABSENT = -15 -- SKE_ABSENT

local quick = {}

local function find_library(ffi)
  local path = assert(package.searchpath("suitkaise.core", package.cpath))
  local library = ffi.load(path)
  local address = ffi.cast("uintptr_t", library.lsk_share_quick_fresh)
  assert(tonumber(address) == core.share_quick_address, "another library")
  return library
end

local function make(ffi)
  ffi.cdef(DECLARATIONS)
  local lib = find_library(ffi)
  local head = ffi.typeof "lsk_share_head *"
  local new_seen = ffi.typeof "lsk_share_seen"
  local cast, to_string = ffi.cast, ffi.string
  local q = {}

  --- The userdata as the functions below take it; valid while that lives.
  function q.pointer(handle) return cast(head, handle) end

  --- Is what was seen still so, with nothing queued?
  function q.fresh(pointer, seen)
    return lib.lsk_share_quick_fresh(pointer, seen) ~= 0
  end

  q.new_seen = new_seen

  local function get(pointer, path, depth, key, how)
    if type(key) == "string" then
      return lib.lsk_share_quick_get(pointer, path, #path, depth, key, #key,
                                     0, how)
    elseif type(key) == "number" then
      return lib.lsk_share_quick_get(pointer, path, #path, depth, nil, 0, key,
                                     how)
    end
  end

  --- -> kind, value (of a table its size; nil of what C has to decode), and
  -- `seen` filled; or nil: take the ordinary way.
  function q.get(pointer, path, depth, key, how, seen)
    local rc = get(pointer, path, depth, key, how)
    if rc ~= 0 then
      return rc == ABSENT and kinds.ABSENT or nil
    end
    local look = pointer.look
    local kind = look.kind
    if seen then
      seen.off, seen.word = look.seen.off, look.seen.word
      seen.moves = look.seen.moves
    end
    if kind == kinds.STRING then return kind, to_string(look.data, look.len) end
    if kind <= kinds.FLOAT then return kind, look.number end
    if kind == kinds.BOOLEAN then return kind, look.number ~= 0 end
    return kind, kind <= kinds.OBJECT and look.len or nil
  end

  local function put(pointer, path, depth, key, kind, s, slen, number)
    if type(key) == "string" then
      return lib.lsk_share_quick_set(pointer, path, #path, depth, key, #key, 0,
                                     kind, s, slen, number) == 0
    elseif type(key) == "number" then
      return lib.lsk_share_quick_set(pointer, path, #path, depth, nil, 0, key,
                                     kind, s, slen, number) == 0
    end
    return false
  end

  --- Queue a write: true, or false: take the ordinary way.
  function q.set(pointer, path, depth, key, value)
    local kind = type(value)
    if kind == "number" then
      return put(pointer, path, depth, key, kinds.FLOAT, nil, 0, value)
    elseif kind == "string" then
      return put(pointer, path, depth, key, kinds.STRING, value, #value, 0)
    elseif kind == "boolean" then
      return put(pointer, path, depth, key, kinds.BOOLEAN, nil, 0,
                 value and 1 or 0)
    end
    return false
  end

  return q
end

--- The functions, or nil and why there are none.
-- @tparam[opt] boolean is_forced also when the compiler is off
function quick.load(is_forced)
  if not rawget(_G, "jit") then return nil, "not LuaJIT" end
  if not (is_forced or jit.status()) then return nil, "the JIT is off" end
  local has_ffi, ffi = pcall(require, "ffi")
  if not has_ffi then return nil, "no ffi" end
  local ok, made = pcall(make, ffi)
  if not ok then return nil, made end
  return made
end

return quick

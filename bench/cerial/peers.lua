-- The contenders: name -> { encode, decode, only = payloads it can do }.
-- Those that are not installed are left out.

local cerial = require "suitkaise.cerial"
local payloads = require "cerial.payloads"

local TREES = "a b c d e g0 h"
local TRUST = { trusted = true }
local KEYS = { "id", "name", "score", "flags", "email", "active", "address",
               "street", "city", "zip", "tags", "parent", "link", "x", "y" }

local peers = { order = {} }

local function add(name, peer)
  peers[name] = peer
  peers.order[#peers.order + 1] = name
end

cerial.register("bench.Point", payloads.Point)
add("cerial", {
  encode = cerial.serialize,
  decode = function(bytes) return cerial.deserialize(bytes, TRUST) end,
  only = "a b c d e g g0 g10 h i j",
})

local has_buffer, buffer = pcall(require, "string.buffer")
if has_buffer then
  add("string.buffer", {
    encode = buffer.encode, decode = buffer.decode, only = TREES,
  })
  local kept = buffer.new { dict = KEYS, metatable = { payloads.Point } }
  add("string.buffer, dictionary", {
    encode = function(v) return kept:reset():encode(v):get() end,
    decode = function(s) return kept:set(s):decode() end,
    only = TREES,
  })
end

local has_cjson, cjson = pcall(require, "cjson")
if has_cjson then
  add("lua-cjson", {
    encode = cjson.encode, decode = cjson.decode, only = "a b c d g0 h",
  })
end

local has_mpack, mpack = pcall(require, "mpack")
if has_mpack then
  add("lua-mpack", {
    encode = mpack.encode or mpack.pack, decode = mpack.decode or mpack.unpack,
    only = TREES,
  })
end

local has_pack, pack = pcall(require, "MessagePack")
if has_pack then
  add("MessagePack.lua", {
    encode = pack.pack, decode = pack.unpack, only = TREES,
  })
end

-- A closure by hand: bytecode, and the upvalues one after another.
local loads = loadstring or load
add("string.dump by hand", {
  only = "j",
  encode = function(f)
    local parts, i = { string.dump(f) }, 1
    while true do
      local name, value = debug.getupvalue(f, i)
      if not name then return parts end
      parts[#parts + 1] = type(value) == "table"
        and cerial.serialize(value) or value
      i = i + 1
    end
  end,
  decode = function(parts)
    local f = loads(parts[1])
    for i = 2, #parts do debug.setupvalue(f, i - 1, parts[i]) end
    return f
  end,
})

return peers

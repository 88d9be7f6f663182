-- Random changes to good bytes, the same ones on every Lua.
local cerial = require "suitkaise.cerial"

local mutate = {}

--- A generator of whole numbers below n, exact in doubles.
function mutate.generator(seed)
  return function(n)
    seed = (seed * 16807) % 2147483647
    return seed % n
  end
end

--- Bytes of every form there is.
function mutate.seeds()
  local shared, cycle = { "x" }, { n = 1 }
  cycle.me = cycle
  local numbers, mixed = {}, {}
  for i = 1, 40 do
    numbers[i] = i * 1000
    mixed[i] = i % 10 == 0 and "s" .. i or i * 0.37
  end
  local nested = 1
  for i = 1, 30 do nested = { nested, i, next = { [i] = true } } end
  local class = { __index = {} }
  local n = 0
  return {
    cerial.serialize { 1, -2, 300, 70000, 2 ^ 40, 1.5, 0.1, -0.0, 1 / 0 },
    cerial.serialize { shared, shared, ["key"] = "key", long = ("x"):rep(99) },
    cerial.serialize(cycle),
    cerial.serialize { numbers, mixed, { numbers } },
    cerial.serialize(nested),
    cerial.serialize { setmetatable({ 1 }, class), setmetatable({}, class) },
    cerial.serialize { print, string, function() n = n + 1 return n end },
    cerial.serialize_many(nil, true, false, { [1.5] = "y", [{}] = {} }),
  }
end

local CHANGES = {
  function(s, random) -- one byte
    local at = random(#s) + 1
    return s:sub(1, at - 1) .. string.char(random(256)) .. s:sub(at + 1)
  end,
  function(s, random) -- one bit
    local at = random(#s) + 1
    local byte, bit = s:byte(at), 2 ^ random(8)
    local flipped = byte % (bit * 2) >= bit and byte - bit or byte + bit
    return s:sub(1, at - 1) .. string.char(flipped) .. s:sub(at + 1)
  end,
  function(s, random) -- a piece taken out
    local at = random(#s) + 1
    return s:sub(1, at - 1) .. s:sub(at + random(8) + 1)
  end,
  function(s, random) -- a piece twice
    local at = random(#s) + 1
    local piece = s:sub(at, at + random(16))
    return s:sub(1, at - 1) .. piece .. piece .. s:sub(at)
  end,
  function(s, random) -- large counts
    local at = random(#s) + 1
    return s:sub(1, at) .. ("\255"):rep(random(10)) .. "\1" .. s:sub(at + 1)
  end,
  function(s, random) -- the end cut off
    return s:sub(1, random(#s))
  end,
}

local HEADER = 4

--- Bytes with one to four changes after the header.
function mutate.change(bytes, random)
  local head, body = bytes:sub(1, HEADER), bytes:sub(HEADER + 1)
  for _ = 1, 1 + random(4) do
    if #body > 0 then body = CHANGES[random(#CHANGES) + 1](body, random) end
  end
  return head .. body
end

return mutate

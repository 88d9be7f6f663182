-- One Lua's contest: run by bench/cerial_bench.lua.

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"
local payloads = require "cerial.payloads"
local peers = require "cerial.peers"

local ROUNDS = 7
local BATCH = 0.04 -- seconds that one figure takes
local COPIES = 16  -- of the long string: a copy of one that lives is free

local clock = os.clock -- of this process: others disturb it less
local kept = {}    -- results, so that no call can be dropped
measure.kept = kept

-- Microseconds of fn on the inputs in turn, n times. `collect`: including the
-- collection of what it leaves, which LuaJIT's own decoder puts off (its
-- memory grows meanwhile), while others are made to do most of it at once.
local function batch(fn, inputs, n, collect)
  collectgarbage()
  collectgarbage()
  local begun = clock()
  for i = 1, n do kept[i % 2] = fn(inputs[i % #inputs + 1]) end
  kept[0], kept[1] = nil, nil
  if collect then collectgarbage() end
  return (clock() - begun) / n * 1e6
end

local function turns(fn, inputs)
  local n = 1
  while true do
    local spent = batch(fn, inputs, n) * n / 1e6
    if spent > BATCH / 2 then
      return math.max(1, math.floor(n * BATCH / spent))
    end
    n = n * 2
  end
end

local function contender(name, fn, inputs, collect)
  local n = #inputs == COPIES and COPIES or turns(fn, inputs)
  return { name, function() return batch(fn, inputs, n, collect) end }
end

local function can(peer, letter)
  return (" " .. peer.only .. " "):find(" " .. letter .. " ", 1, true) ~= nil
end

local function copies(value)
  if type(value) ~= "string" then return { value } end
  local list = {}
  for i = 1, COPIES do list[i] = string.char(i) .. value:sub(2) end
  return list
end

-- A copy of the long string, but for a byte, and nothing else.
local function string_copy(s)
  return s:sub(2)
end

local function contest(letter)
  local value = payloads.make(letter)
  local inputs = copies(value)
  local encoders, decoders, cleaners, sizes = {}, {}, {}, {}
  for _, name in ipairs(peers.order) do
    local peer = peers[name]
    if can(peer, letter) then
      local encoded = {}
      for i, input in ipairs(inputs) do encoded[i] = peer.encode(input) end
      sizes[name] = type(encoded[1]) == "string" and #encoded[1] or nil
      encoders[#encoders + 1] = contender(name, peer.encode, inputs)
      decoders[#decoders + 1] = contender(name, peer.decode, encoded)
      cleaners[#cleaners + 1] = contender(name, peer.decode, encoded, true)
    end
  end
  if letter == "e" then
    encoders[#encoders + 1] = contender("a copy", string_copy, inputs)
    decoders[#decoders + 1] = contender("a copy", string_copy, inputs)
    cleaners[#cleaners + 1] = contender("a copy", string_copy, inputs, true)
  end
  return measure.in_turn(encoders, ROUNDS), measure.in_turn(decoders, ROUNDS),
    measure.in_turn(cleaners, ROUNDS), sizes
end

local function pickle(letter)
  local pipe = io.popen("python3 bench/cerial/pickle_peer.py " .. letter
                        .. " 2>/dev/null")
  local encode, decode, bytes = pipe:read("*n", "*n", "*n")
  pipe:close()
  return encode, decode, bytes
end

local function ratio(ours, theirs)
  return theirs and ("%6.2f"):format(ours / theirs) or "     -"
end

-- figures: encode, decode, decode and collect; in microseconds
local function line(name, figures, bytes, ours)
  local text = ("  %-26s"):format(name)
  for i = 1, 3 do
    text = text .. (figures[i] and (" %10.2f"):format(figures[i])
                    or "          -")
  end
  print(text .. (" us %8s bytes   ours / this:"):format(bytes or "")
        .. ratio(ours[1], figures[1]) .. ratio(ours[2], figures[2])
        .. ratio(ours[3], figures[3]))
end

local function report(letter)
  local encode, decode, clean, sizes = contest(letter)
  local function figures(name)
    return { encode[name], decode[name], clean[name] }
  end
  local ours = figures "cerial"
  print(("%s  (%s): encode, decode, decode and collect"):format(letter,
        rawget(_G, "jit") and jit.version or _VERSION))
  for _, name in ipairs(peers.order) do
    if encode[name] then line(name, figures(name), sizes[name], ours) end
  end
  if letter == "e" then line("a copy", figures "a copy", nil, ours) end
  local e, d, bytes = pickle(letter)
  if e then line("Python's pickle", { e, d }, bytes, ours) end
end

for _, letter in ipairs(payloads.order) do report(letter) end

-- A simulation: each island is a process, all of them change one Share, and a
-- Flag ends them together.
--
--   luajit examples/islands.lua [islands [seconds]]

local sk = require "suitkaise"

local ISLANDS = tonumber(arg[1] or 4)
local SECONDS = tonumber(arg[2] or 2)
local START, GRASS, BOAT = 100, 2000, 10 -- rabbits
local MOST = 1000

local function is_within(number, least, most)
  return number and number >= least and number <= most
end

if not is_within(ISLANDS, 1, MOST) or ISLANDS % 1 ~= 0
   or not is_within(SECONDS, 0, 3600) then
  io.stderr:write("usage: islands.lua [islands [seconds]], 1 to ", MOST,
                  " islands, at most an hour\n")
  os.exit(2)
end

local world = sk.Share{ max_processes = ISLANDS + 1 }
world.rabbits = {}
for island = 1, ISLANDS do world.rabbits[island] = START end

local stop = sk.Flag()
local born, died, years = sk.Counter(), sk.Counter(), sk.Counter()

-- ---- an island ----

local Island = sk.Skprocess:extend "Island"

function Island:init(number)
  self.number = number
end

function Island:__prerun__()
  if stop.value then self:stop() end
end

-- How many of n rabbits does something happen to, at these odds?
local function some_of(n, odds)
  local count = 0
  for _ = 1, n do
    if math.random() < odds then count = count + 1 end
  end
  return count
end

-- One year: the fewer there are, the more are born; then a boat leaves.
function Island:__run__()
  local here = self.number
  local rabbits = world.rabbits[here]
  local more = some_of(rabbits, 0.3)
  local fewer = some_of(rabbits, math.min(0.3 * rabbits / GRASS, 0.9))
  born:increment(more)
  died:increment(fewer)
  rabbits = sk.increment(world.rabbits, here, more - fewer)
  if rabbits > BOAT then
    sk.increment(world.rabbits, here, -BOAT)
    sk.increment(world.rabbits, math.random(ISLANDS), BOAT)
  end
  years:increment()
end

-- ---- the world ----

local islands = {}
for number = 1, ISLANDS do
  math.randomseed(number) -- each island inherits luck of its own
  islands[number] = Island(number)
  islands[number]:start()
end

sk.sktime.sleep(SECONDS)
stop:set()
for _, island in ipairs(islands) do island:result() end -- raises its error

local total = 0
for number, rabbits in sk.ipairs(world.rabbits) do
  print(("island %d: %5d rabbits"):format(number, rabbits))
  total = total + rabbits
end
local expected = ISLANDS * START + (born.value - died.value)
print(("%d years, %d rabbits, %d lost or invented"):format(
  years.value, total, total - expected))
world:stop()

--- The workers of a pool: starting, replacing, ending them, and what each has
-- been given.
-- @module suitkaise.pool.crew

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local wait = require "suitkaise.async.wait"
local worker = require "suitkaise.pool.worker"

local Crew = {}
Crew.__index = Crew

local DOWN_BYTES = 64 * 1024 -- ring of work to one worker
local UP_BYTES = 256 * 1024  -- ring of results from it

-- Early deaths of one worker after another without a single item done: the
-- machine cannot keep a worker alive (no memory, a crash while it loads its
-- function).
local HOPELESS = 5
local EARLY_SECONDS = 1

local function start(slot)
  local process, message = core.fork(worker.serve, slot.link)
  if not process then return nil, message end
  slot.process, slot.pid = process, process:pid()
  slot.started = core.now()
  slot.chunks, slot.first, slot.last = {}, 1, 0
  slot.known, slot.drops = {}, {}
  slot.waiting = 0
  slot.late, slot.unplaced, slot.stopped_since = nil, nil, nil
  return true
end

local function open_slot()
  local link, message = core.link(DOWN_BYTES, UP_BYTES)
  if not link then return nil, message end
  local slot = { link = link, deaths = 0, items = 0, busy = 0, restarts = 0 }
  local ok, why = start(slot)
  if not ok then
    link:close()
    return nil, why
  end
  return slot
end

--- Start n workers; raises when the system refuses.
-- @tparam int n
function Crew.start(n)
  local self = setmetatable({ generation = core.generation() }, Crew)
  for i = 1, n do
    local slot, why = open_slot()
    if not slot then
      self:kill()
      errors.raise("Error", {
        message = "Pool: cannot start worker " .. i .. " of " .. n .. ": "
          .. why,
      }, "caller")
    end
    self[i] = slot
  end
  self:list()
  return self
end

--- What to wait for, a source of suitkaise.async.wait: kept as arrays,
-- because waits are frequent.
function Crew:list()
  wait.close(self)
  self.links, self.processes = {}, {}
  for _, slot in ipairs(self) do
    if slot.process then
      self.links[#self.links + 1] = slot.link
      self.processes[#self.processes + 1] = slot.process
    end
  end
end

--- A new worker in the place of one that has ended.
-- @return true, or nil and why not
function Crew:replace(slot)
  slot.process:close()
  slot.process = nil
  slot.link:reset()
  local is_early = core.now() - slot.started < EARLY_SECONDS
  slot.deaths = is_early and slot.deaths + 1 or 0
  slot.restarts = slot.restarts + 1
  local ok, why
  if slot.deaths < HOPELESS then
    ok, why = start(slot)
  else
    why = slot.deaths .. " workers died one after the other"
  end
  self:list()
  return ok, why
end

--- Try again to have every worker: a new job may fare better.
-- @return true when there is one at least, else false and why not
function Crew:revive()
  if #self.processes == #self then return true end
  local why
  for _, slot in ipairs(self) do
    if not slot.process then
      slot.deaths = 0
      why = select(2, start(slot)) or why
    end
  end
  self:list()
  return self.processes[1] ~= nil, why
end

--- New workers for all, whatever the old ones are doing.
function Crew:restart()
  for _, slot in ipairs(self) do
    if slot.process then
      slot.process:close()
      slot.process = nil
    end
    slot.link:reset()
  end
  wait.close(self)
  self.processes = {}
  return self:revive()
end

-- ---- the end ----

local function ended(slot)
  return not slot.process or select(3, slot.process:poll())
end

local function drain(slot)
  while slot.link:peek() do slot.link:take() end
end

-- Ask a worker to end; false while its lane is full.
local function ask_to_quit(slot)
  if slot.quitting or not slot.process then return true end
  slot.quitting = slot.link:flush() and slot.link:put("quit", 0)
  return slot.quitting
end

local PATIENCE = 0.05 -- seconds before it is asked whether one is stopped

--- Let the workers end on their own, at most `timeout` seconds; kill those
-- that do not, and early those that are stopped.
function Crew:finish(timeout, waiter)
  local begun = core.now()
  repeat
    local left = {}
    for _, slot in ipairs(self) do
      ask_to_quit(slot)
      drain(slot)
      if not ended(slot) then
        if core.now() - begun > PATIENCE and slot.process:stopped() then
          slot.process:kill()
        end
        left[#left + 1] = slot.process
      end
    end
    if left[1] then
      local source = { links = self.links, processes = left }
      waiter.events(source, "eager", 0.02)
      wait.close(source)
    end
  until not left[1] or core.now() - begun >= timeout
  self:kill()
end

--- End every worker now.
function Crew:kill()
  for _, slot in ipairs(self) do
    if slot.process then slot.process:close() end
    slot.link:close()
    slot.process = nil
  end
  for i = #self, 1, -1 do self[i] = nil end
  self:list()
end

return Crew

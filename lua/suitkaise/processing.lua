--- What all processes of this program have in common: figures for an operator,
-- and Ctrl-C.
-- @module suitkaise.processing

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local interrupts = require "suitkaise.processing.interrupts"
local registry = require "suitkaise.processing.registry"
local sections = require "suitkaise.processing.sections"

local processing = {}

--- Say whether Ctrl-C is ours while we wait. At first it is: the processes
-- finish as with `stop`, and the wait raises Interrupted.
-- @tparam boolean on false: whatever the host does with SIGINT happens
-- @treturn boolean how it was
-- @usage sk.interrupts(false)
function processing.interrupts(on)
  if type(on) ~= "boolean" then
    errors.argument("interrupts", "on", on, "true or false")
  end
  local was = interrupts.are_on()
  interrupts.set(on)
  return was
end

-- ---- figures ----

local function process_figures(state)
  local run, section, seconds, spent, starts, busy = state.channel:state()
  return {
    name = state.name, pid = state.api.pid(state), current_run = run,
    section = sections.names[section], section_seconds = seconds,
    lives_spent = spent, lives = state.config.lives,
    restarts = math.max(starts - 1, 0), busy_seconds = busy + seconds,
    queued_bytes = state.channel:pending(),
    unread_bytes = state.channel:unread(),
  }
end

local function worker_figures(slot)
  local items, busy = slot.link:stats()
  return {
    pid = slot.pid, items = items, busy_seconds = busy,
    restarts = slot.restarts, waiting = slot.waiting,
  }
end

local function pool_figures(pool)
  local figures = { workers = {}, queued_items = 0, restarts = 0,
                    jobs = #pool.jobs }
  for i, slot in ipairs(pool.crew) do
    local worker = worker_figures(slot)
    figures.workers[i] = worker
    figures.queued_items = figures.queued_items + worker.waiting
    figures.restarts = figures.restarts + worker.restarts
  end
  return figures
end

local function figures_of_all(things, is_live, figures_of)
  local list = {}
  for thing in each(things) do
    if is_live(thing) then list[#list + 1] = figures_of(thing) end
  end
  return list
end

local function total(list, name)
  local sum = 0
  for _, figures in ipairs(list) do sum = sum + figures[name] end
  return sum
end

local function is_running(state)
  return state.api.is_alive(state)
end

local function is_open(pool)
  return not pool.is_closed
end

--- What runs in this process now.
-- @treturn table `processes` and `pools` (how many), `queued_bytes` and
--   `queued_items` (sent and not yet read), `restarts`; `process_list`: for
--   each Skprocess `name`, `pid`, `current_run`, `section`, `section_seconds`,
--   `lives`, `lives_spent`, `restarts`, `busy_seconds`, `queued_bytes`,
--   `unread_bytes`; `pool_list`: for each Pool `jobs`, `queued_items`,
--   `restarts`, and `workers` with `pid`, `items`, `busy_seconds`, `restarts`,
--   `waiting`
-- @usage print(sk.processing.stats().processes)
function processing.stats()
  local processes = figures_of_all(registry.running(), is_running,
                                   process_figures)
  local pools = figures_of_all(registry.pools(), is_open, pool_figures)
  return {
    processes = #processes, pools = #pools,
    queued_bytes = total(processes, "queued_bytes"),
    queued_items = total(pools, "queued_items"),
    restarts = total(processes, "restarts") + total(pools, "restarts"),
    process_list = processes, pool_list = pools,
  }
end

return processing

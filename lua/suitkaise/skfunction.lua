--- Skfunction: a function with retries, time limits, a rate, a process of its
-- own, names and bound arguments.
--
-- It is called like the function. Modifiers return a light view of the same
-- function and leave the one they were asked of as it was; their order does
-- not matter. A call waits for its rate, then makes attempts, each with the
-- time limit.
-- @classmod suitkaise.skfunction
-- @usage local fetch = sk.skf(function(url) return request(url) end)
-- local page = fetch:retry{ times = 3 }:timeout(5)(url)

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"
local views = require "suitkaise.views"
local wait = require "suitkaise.async.wait"

local unpack = rawget(_G, "unpack") or table.unpack

local Skfunction = { __name = "Skfunction" }

local skfunction = { Skfunction = Skfunction }

-- What is needed by some calls only is loaded by the first of them.
local function part(name)
  return require("suitkaise.skfunction." .. name)
end

-- ---- what it is ----

-- `base` is what all views of a function share; `how` what modifiers said.
local compile

local function new_view(base, how, bound, name)
  local self = { _base = base, _how = how, _bound = bound, _name = name }
  self._run = compile(self)
  return setmetatable(self, Skfunction)
end

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function"
    or type(meta) == "table" and rawget(meta, "__call") ~= nil
end

local function is_skfunction(value)
  return getmetatable(value) == Skfunction
end

local function check_self(self, name)
  if not is_skfunction(self) then
    errors.argument("Skfunction:" .. name, "self", self,
                    "an Skfunction (call it with a colon)", "caller")
  end
end

local function check_function(owner, fn)
  if not is_callable(fn) then
    errors.argument(owner, "fn", fn, "a function", "caller")
  end
end

-- Where a function without a name is written.
local function place_of(fn)
  if type(fn) ~= "function" then return "function" end
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return "C function" end
  return info.short_src .. ":" .. info.linedefined
end

local function name_of(self)
  return self._name or self._base.name or place_of(self._base.fn)
end

local function change(self, name, value)
  return new_view(self._base, views.with(self._how, name, value), self._bound,
                  self._name)
end

-- ---- how it is called ----

-- How a call of this view waits.
local function waiter_of(self)
  return self._how.asynced and wait.asynced or wait.blocking
end

local function isolated(waiter, name, seconds, call)
  local background = require "suitkaise.background"
  local function finish(future, ok, ...)
    if ok then return ... end
    local err = (...)
    local has_result = not future:cancel()
    if not errors.is(err, "ResultTimeoutError") then error(err, 0) end
    if has_result then return future:result() end -- just in time
    errors.raise("FunctionTimeoutError", {
      message = string.format("%s took longer than %g s", name, seconds),
      timeout = seconds,
    }, "caller")
  end
  return function(...)
    local future = background.start(name, call, ...)
    return finish(future, waiter.pcall(future.wait, future, waiter, seconds))
  end
end

local function timed(waiter, name, limit, call)
  if limit.isolate then return isolated(waiter, name, limit.seconds, call) end
  if waiter ~= wait.blocking then
    return part "cancelling"(name, limit.seconds, call)
  end
  local interrupt, seconds = part "interrupt", limit.seconds
  return function(...)
    return interrupt.call(name, seconds, call, ...)
  end
end

local function bind(self, call)
  local parameters = part "parameters"
  local known = parameters.check(name_of(self), self._base.fn, self._bound)
  return parameters.bind(known, self._bound, call)
end

-- Functions among the arguments arrive as Skfunctions.
local function converting(call)
  return function(...)
    local args = { n = select("#", ...), ... }
    for i = 1, args.n do
      if type(args[i]) == "function" then args[i] = skfunction.skf(args[i]) end
    end
    return call(unpack(args, 1, args.n))
  end
end

local function attempts(self, waiter)
  local how, call = self._how, self._base.fn
  if self._bound then call = bind(self, call) end
  if self._base.converts then call = converting(call) end
  if how.timeout then
    call = timed(waiter, name_of(self), how.timeout, call)
  end
  if how.retry then call = part "retry"(how.retry, call, waiter) end
  return call
end

-- -> a function that takes a moment of the schedule
local function reserver(self)
  local per_second = self._how.rate_limit
  if not per_second then return nil end
  local limiter, schedule = part "limiter", self._base.schedule
  if self._how.schedule then schedule = self._how.schedule end
  return function() return limiter.reserve(schedule, per_second) end
end

-- The moment is taken here, where the order of the calls is known; the waiting
-- is done there.
local function in_background(self, reserve)
  local start = require "suitkaise.background".start
  local name, call = name_of(self), attempts(self, wait.blocking)
  if self._how.asynced then
    local start_plain = start
    start = function(...) return start_plain(...):asynced() end
  end
  if not reserve then
    return function(...) return start(name, call, ...) end
  end
  local pause = part "pause"
  return function(...)
    local moment = reserve()
    return start(name, function(...)
      pause(moment)
      return call(...)
    end, ...)
  end
end

local function registering(self, call)
  local is_done = false
  return function(...)
    if not is_done then
      is_done = true
      skfunction.add(name_of(self), self)
    end
    return call(...)
  end
end

local function compile_plain(self)
  local reserve = reserver(self)
  if self._how.background then return in_background(self, reserve) end
  local waiter = waiter_of(self)
  local call = attempts(self, waiter)
  if not reserve then return call end
  return function(...)
    waiter.pause(reserve())
    return call(...)
  end
end

function compile(self)
  local call
  if self._base.kind == "generator" then
    call = part "generator"(self, {
      name = name_of(self), reserve = reserver(self), bind = bind,
      waiter = waiter_of(self),
      seconds = self._how.timeout and self._how.timeout.seconds,
    })
  else
    call = compile_plain(self)
  end
  if self._base.is_auto then call = registering(self, call) end
  return call
end

function Skfunction.__call(self, ...)
  return self._run(...)
end

-- ---- modifiers ----

local modifiers = {}

local function refuse_generator(self, name)
  if self._base.kind == "generator" then
    errors.raise("ArgumentError", {
      message = "Skfunction:" .. name .. ": a generator cannot be begun again "
        .. "or run elsewhere once it has yielded",
    }, "caller")
  end
end

local RETRY_SPEC = {
  times = { type = "integer", min = 1, default = 3 },
  delay = { type = "number", min = 0, default = 1 },
  backoff_factor = { type = "number", min = 0, default = 1 },
  jitter = { type = "number", min = 0, default = 0 },
  only = "function",
}

--- Try again after an error.
-- @function Skfunction:retry
-- @tparam[opt] table opts
-- @tparam[opt=3] int opts.times attempts in all
-- @tparam[opt=1] number opts.delay seconds before the second attempt
-- @tparam[opt=1] number opts.backoff_factor each further delay is so many
--   times the one before
-- @tparam[opt=0] number opts.jitter at most 1: 0.1 makes each delay up to a
--   tenth longer or shorter, by chance
-- @tparam[opt] function opts.only `only(err, attempt)`: is it worth another
--   attempt? `err` is what the function raised
-- @treturn Skfunction a view
-- @raise ArgumentError; by a call: the last error, unchanged. A table has the
--   earlier ones in its field `attempts`
-- @usage fetch:retry{ times = 5, delay = 0.1, backoff_factor = 2 }(url)
function modifiers:retry(opts)
  check_self(self, "retry")
  refuse_generator(self, "retry")
  local how = options.check("Skfunction:retry", opts, RETRY_SPEC, "caller")
  if how.jitter > 1 then
    errors.argument("Skfunction:retry", "jitter", how.jitter,
                    "a number from 0 to 1", "caller")
  end
  return change(self, "retry", how)
end

local TIMEOUT_SPEC = { isolate = { type = "boolean", default = false } }

--- Limit the time of each attempt.
--
-- Here, a debug hook interrupts it: Lua code of any kind, but no C function
-- that it waits in, nor coroutines of PUC Lua. In LuaJIT the compiler is off
-- while it runs. `isolate` runs it in a forked process: that holds always,
-- and what it changes is changed there only.
-- @function Skfunction:timeout
-- @tparam number seconds
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.isolate
-- @treturn Skfunction a view
-- @raise ArgumentError; by a call: FunctionTimeoutError (`timeout`), and with
--   `isolate` TaskError and WorkerDiedError
-- @usage local page = fetch:timeout(5)(url)
-- local size = measure:timeout(5, { isolate = true })(path)
function modifiers:timeout(seconds, opts)
  check_self(self, "timeout")
  if not views.is_seconds(seconds) or seconds == 0 then
    errors.argument("Skfunction:timeout", "seconds", seconds,
                    "a number of seconds above 0", "caller")
  end
  local how = options.check("Skfunction:timeout", opts, TIMEOUT_SPEC, "caller")
  if how.isolate then refuse_generator(self, "timeout") end
  return change(self, "timeout", {
    seconds = seconds, isolate = how.isolate,
  })
end

--- Space the calls evenly: each waits for its moment, without bursts.
-- All views of a function share one schedule, in all processes that have the
-- function from this one (forked, or sent there).
-- @function Skfunction:rate_limit
-- @tparam number per_second
-- @tparam[opt] Counter schedule of several functions together
-- @treturn Skfunction a view
-- @usage local gentle = fetch:rate_limit(10)
-- for _, url in ipairs(urls) do print(gentle(url)) end
function modifiers:rate_limit(per_second, schedule)
  check_self(self, "rate_limit")
  if type(per_second) ~= "number" or not (per_second > 0)
     or per_second == math.huge then
    errors.argument("Skfunction:rate_limit", "per_second", per_second,
                    "a number above 0", "caller")
  end
  local limiter = part "limiter"
  if schedule ~= nil and not limiter.is_schedule(schedule) then
    errors.argument("Skfunction:rate_limit", "schedule", schedule,
                    "a Counter", "caller")
  end
  if not schedule and not self._base.schedule then
    self._base.schedule = limiter.new()
  end
  local how = views.with(self._how, "schedule", schedule)
  return new_view(self._base, views.with(how, "rate_limit", per_second),
                  self._bound, self._name)
end

--- Run it in a forked process, and return at once.
-- @function Skfunction:background
-- @treturn Skfunction a view whose calls return a Future: `result`, `done`,
--   `cancel`, `on_done`
-- @usage local later = fetch:background()(url)
-- local page = later:result(10)
function modifiers:background()
  check_self(self, "background")
  refuse_generator(self, "background")
  return change(self, "background", true)
end

--- Yield the running task instead of blocking: while a call waits for its
-- rate or between attempts, and for a process. The time limit then raises a
-- CancelledError where the function waits, and holds it up no longer: one
-- that computes is not interrupted. With `background` the Future's `result`
-- yields. See doc/async.md.
-- @function Skfunction:asynced
-- @treturn Skfunction a view, to be called in tasks
-- @usage sk.async.run(function() print(fetch:asynced()(url)) end)
function modifiers:asynced()
  check_self(self, "asynced")
  return change(self, "asynced", true)
end

-- ---- arguments by name ----

local function merge(a, b)
  local both = {}
  for k, v in each(a or {}) do both[k] = v end
  for k, v in each(b) do both[k] = v end
  return both
end

local function check_values(self, owner, values)
  if type(values) ~= "table" then
    errors.argument(owner, "arguments", values, "a table by name", "caller")
  end
  return part "parameters".check(owner, self._base.fn, values)
end

--- Bind arguments by the names of the parameters. The others are given by the
-- call, in their order.
-- @function Skfunction:bind
-- @tparam table values by name
-- @treturn Skfunction a view
-- @raise ArgumentError for a name that is none, and where the VM cannot tell
--   the names (C functions, stripped bytecode)
-- @usage local to_ann = mail:bind{ to = "ann" }
-- to_ann("hi", "see you")
function modifiers:bind(values)
  check_self(self, "bind")
  check_values(self, "Skfunction:bind", values)
  return new_view(self._base, self._how, merge(self._bound, values),
                  self._name)
end

--- Call it with arguments by name, beside those that are bound.
-- @function Skfunction:execute
-- @tparam[opt] table values by name; they win over bound ones
-- @return its results
-- @usage sk.skfunction.get("mail"):execute{ subject = "hi" }
function modifiers:execute(values)
  check_self(self, "execute")
  if values == nil then values = {} end
  local known = check_values(self, "Skfunction:execute", values)
  local all, n = part "parameters".in_order(known, merge(self._bound, values))
  local plain = self
  if self._bound then
    plain = self._plain or new_view(self._base, self._how, nil, self._name)
    rawset(self, "_plain", plain)
  end
  return plain._run(unpack(all, 1, n))
end

-- ---- what is known of it ----

local fields = {}

local function detected(name)
  return function(self)
    local declared = self._base[name]
    if declared ~= nil then return declared end
    if type(self._base.fn) ~= "function" then return nil end
    return require("suitkaise.detect").fn(self._base.fn)[name]
  end
end

fields.reads, fields.writes = detected "reads", detected "writes"
fields.is_pure = detected "is_pure"
fields.blocking_calls = detected "blocking_calls"
fields.unknown_calls = detected "unknown_calls"
fields.name = name_of

-- The function itself, and what kind it is.
function fields:fn() return self._base.fn end
function fields:kind() return self._base.kind end

local function known_names()
  local all = {}
  for name in each(modifiers) do all[name] = true end
  for name in each(fields) do all[name] = true end
  return options.names(all)
end

function Skfunction.__index(self, key)
  local value = modifiers[key]
  if value then return value end
  local read = fields[key]
  if read then return read(self) end
  if type(key) == "string" and key:sub(1, 1) ~= "_" then
    errors.raise("ArgumentError", {
      message = "Skfunction has no " .. errors.show(key)
        .. options.hint(key, known_names()),
      argument = key,
    }, 2)
  end
  return nil
end

function Skfunction.__newindex(_, key)
  errors.raise("ArgumentError", {
    message = "Skfunction: " .. errors.show(key) .. " cannot be assigned",
    argument = key,
  }, 2)
end

function Skfunction:__tostring()
  return "Skfunction: " .. name_of(self)
end

-- A function goes by reference when it can; what modifiers and bindings said,
-- and the schedule, go along.
function Skfunction:__serialize()
  local base = self._base
  return {
    fn = base.fn, name = base.name, reads = base.reads, writes = base.writes,
    kind = base.kind, converts = base.converts, is_auto = base.is_auto,
    schedule = base.schedule, how = self._how, bound = self._bound,
    own_name = self._name,
  }
end

function Skfunction.__deserialize(state)
  local base = {
    fn = state.fn, name = state.name, reads = state.reads,
    writes = state.writes, kind = state.kind, converts = state.converts,
    is_auto = state.is_auto, schedule = state.schedule,
  }
  return new_view(base, state.how, state.bound, state.own_name)
end

-- ---- making one ----

local SPEC = {
  name = "string", reads = "table", writes = "table",
  kind = { values = { "function", "generator" }, default = "function" },
}

-- Each method of a class that is its own; metamethods stay what they are.
local function wrap_class(class, opts)
  if opts ~= nil then
    errors.argument("skf", "options", opts, "nil for a class", "caller")
  end
  local names = {}
  for name, value in each(class) do
    if type(value) == "function" and type(name) == "string"
       and name:sub(1, 2) ~= "__" then
      names[#names + 1] = name
    end
  end
  for _, name in ipairs(names) do
    class[name] = skfunction.skf(class[name], { name = name })
  end
  return class
end

local function check_names(name, list)
  for key, value in each(list or {}) do
    if type(key) ~= "number" or type(value) ~= "string" then
      errors.argument("skf", name, type(key) == "number" and value or key,
                      "an array of names", "caller")
    end
  end
end

local function check_options(opts)
  local checked = options.check("skf", opts, SPEC, "caller")
  check_names("reads", checked.reads)
  check_names("writes", checked.writes)
  return checked
end

-- Another Skfunction of the same function, with what the options say.
local function with_options(self, checked, opts)
  local base = {}
  for k, v in each(self._base) do base[k] = v end
  for k in each(opts) do base[k] = checked[k] end
  if opts.kind and opts.kind ~= self._base.kind and next(self._how) then
    errors.argument("skf", "kind", opts.kind, "given before modifiers",
                    "caller")
  end
  local name = self._name
  if opts.name then name = nil end
  return new_view(base, self._how, self._bound, name)
end

--- Make an Skfunction, or make each method of a class one.
-- @function skf
-- @tparam function|table fn a function; anything that can be called; a class
--   (a table with `__index`), which is changed and returned
-- @tparam[opt] table opts
-- @tparam[opt] string opts.name for messages; else where it is written
-- @tparam[opt] table opts.reads what it reads, instead of what is found
-- @tparam[opt] table opts.writes what it writes
-- @tparam[opt="function"] string opts.kind "generator": its body yields, and a
--   call returns an iterator
-- @treturn Skfunction
-- @raise ArgumentError
-- @usage local fetch = sk.skf(function(url) return request(url) end)
function skfunction.skf(fn, opts)
  if is_skfunction(fn) and opts == nil then return fn end
  if type(fn) == "table" and not is_skfunction(fn)
     and rawget(fn, "__index") ~= nil then
    return wrap_class(fn, opts)
  end
  check_function("skf", fn)
  local base = check_options(opts)
  if is_skfunction(fn) then return with_options(fn, base, opts) end
  base.fn = fn
  return new_view(base, {})
end

--- Is it a function or an Skfunction?
-- @function is_function
-- @param value
-- @treturn boolean
-- @usage sk.skfunction.is_function(fetch) --> true
function skfunction.is_function(value)
  return type(value) == "function" or is_skfunction(value)
end

--- A function whose arguments that are functions arrive as Skfunctions.
-- @function convert_callables
-- @tparam function fn
-- @treturn Skfunction
-- @usage local each = sk.skfunction.convert_callables(function(fn, list)
--   for _, x in ipairs(list) do fn:retry()(x) end
-- end)
-- each(print, { 1, 2 })
function skfunction.convert_callables(fn)
  check_function("convert_callables", fn)
  if is_skfunction(fn) then fn = fn.fn end
  return new_view({ fn = fn, kind = "function", converts = true }, {})
end

-- ---- names ----

local registry = {}

local function check_name(owner, name)
  if type(name) ~= "string" or name == "" then
    errors.argument(owner, "name", name, "a string", "caller")
  end
end

--- Put an Skfunction into the registry.
-- @local
function skfunction.add(name, view)
  registry[name] = view
  return view
end

--- Give a function a name, and arguments by name. A function may have several
-- names with other arguments each; a name that is taken gets the new one.
-- @function register
-- @tparam string name
-- @tparam function fn also an Skfunction
-- @tparam[opt] table bound arguments by name
-- @treturn Skfunction
-- @raise ArgumentError
-- @usage sk.skfunction.register("mail", send, { to = "x" })
function skfunction.register(name, fn, bound)
  check_name("register", name)
  check_function("register", fn)
  local view = skfunction.skf(fn)
  if bound ~= nil then view = view:bind(bound) end
  return skfunction.add(name, new_view(view._base, view._how, view._bound,
                                       name))
end

--- The function of a name.
-- @function get
-- @tparam string name
-- @treturn Skfunction
-- @raise ArgumentError when there is none
-- @usage sk.skfunction.get("mail")("hi", "see you")
function skfunction.get(name)
  check_name("get", name)
  local view = registry[name]
  if view then return view end
  errors.raise("ArgumentError", {
    message = "no function is registered as " .. errors.show(name)
      .. options.hint(name, options.names(registry)),
    argument = name,
  }, "caller")
end

--- All names.
-- @function names
-- @treturn {string,...} sorted
-- @usage print(table.concat(sk.skfunction.names(), " "))
function skfunction.names()
  return options.names(registry)
end

--- Forget a name.
-- @function unregister
-- @tparam string name
-- @treturn boolean was there one?
-- @usage sk.skfunction.unregister("mail")
function skfunction.unregister(name)
  check_name("unregister", name)
  local was = registry[name] ~= nil
  registry[name] = nil
  return was
end

--- Register a function when it is called first: under its name, else under
-- its reference (`module:path`), else under the place where it is written.
-- @function autoregister
-- @tparam function fn
-- @tparam[opt] string name
-- @treturn Skfunction
-- @usage local send = sk.skfunction.autoregister(mail, "mail")
-- send("ann", "hi")
-- sk.skfunction.get("mail")("bob", "hi")
function skfunction.autoregister(fn, name)
  check_function("autoregister", fn)
  if name ~= nil then check_name("autoregister", name) end
  local base = { kind = "function" }
  if is_skfunction(fn) then
    for k, v in each(fn._base) do base[k] = v end
  else
    base.fn = fn
    base.name = require("suitkaise.cerial").reference(fn)
  end
  base.is_auto = true
  return new_view(base, is_skfunction(fn) and fn._how or {},
                  is_skfunction(fn) and fn._bound or nil, name)
end

-- ---- the builder ----

local Builder = { __name = "Skfunction builder" }
Builder.__index = Builder

--- Bind arguments one by one: `build(fn):set("to", "x"):done()`.
-- @function build
-- @tparam function fn
-- @treturn table with `set(name, value)` and `done()`
-- @usage local note = sk.skfunction.build(mail):set("subject", "note"):done()
-- note("eve")
function skfunction.build(fn)
  check_function("build", fn)
  return setmetatable({ view = skfunction.skf(fn) }, Builder)
end

local function check_builder(self, name)
  if getmetatable(self) ~= Builder then
    errors.argument("build:" .. name, "self", self,
                    "what build returned (call it with a colon)", "caller")
  end
end

function Builder:set(name, value)
  check_builder(self, "set")
  if type(name) ~= "string" then
    errors.argument("build:set", "name", name, "a parameter's name", "caller")
  end
  self.view = self.view:bind { [name] = value }
  return self
end

function Builder:done()
  check_builder(self, "done")
  return self.view
end

--- For the module that adds modifiers of its own.
-- @local
skfunction.modifiers = modifiers

return skfunction

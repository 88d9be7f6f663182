--- The errors of a process: made where it failed, raised where it is waited
-- for.
-- @module suitkaise.processing.failure

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local sections = require "suitkaise.processing.sections"

local failure = {}

local traceback = debug.traceback

-- What the message handler of a section makes of an error.
local Description = {}

-- From here on a traceback is ours.
local OURS = "\n[^\n]*%[C%]: in [^\n]*'section'.*$"

--- The message handler: keeps the error as it is.
function failure.describe(err)
  if getmetatable(err) == Description then return err end -- of a task
  local trace = traceback("", 2):gsub(OURS, "")
  return setmetatable({ error = err, traceback = trace }, Description)
end

--- The same for an error that came elsewhere, with its traceback if there is
-- one.
function failure.describe_own(err, trace)
  return setmetatable({ error = err, traceback = trace or "" }, Description)
end

-- An error that came when there was no memory or stack for a handler has not
-- been described.
local function described(value)
  if getmetatable(value) == Description then
    return value.error, value.traceback
  end
  return value, ""
end

local function of_run(section, run)
  return sections.is_of_run[section] and " of run " .. run or ""
end

--- The error of a hook that raised.
-- @param state of the process
-- @tparam string section
-- @tparam int run
-- @param value what came of `describe`
function failure.raised(state, section, run, value)
  local err, trace = described(value)
  return errors.new(sections.errors[section], {
    message = ("%s: __%s__%s failed"):format(state.name, section,
                                             of_run(section, run)),
    section = section, current_run = run, original_error = err,
    traceback = trace, pid = core.getpid(),
  })
end

--- The error of a hook that took too long.
-- @param state of the process
-- @tparam int number of the section, 0 when none is known
-- @tparam number limit 0: the time of all of it was over
-- @tparam int run
function failure.late(state, number, limit, run)
  local section = sections.names[number] or "run"
  local config = state.config
  local is_end = limit == 0 or not config.timeouts[section]
  -- as it was written, not as it went through nanoseconds
  limit = is_end and config.time_limit or config.timeouts[section] or limit
  return errors.new("ProcessTimeoutError", {
    message = is_end
      and ("%s: __%s__%s went on after the time limit of %g s"):format(
        state.name, section, of_run(section, run), limit)
      or ("%s: __%s__%s took longer than %g s"):format(
        state.name, section, of_run(section, run), limit),
    section = section, timeout = limit, current_run = run,
    pid = (state.channel:pid()), is_end = is_end or nil,
  })
end

--- The error of a process that died.
-- @param state of the process
-- @tparam string who "it" or "its monitor"
-- @tparam ?int code
-- @tparam ?int signal
-- @tparam int run
function failure.died(state, who, code, signal, run)
  local how = "in a way that nobody knows"
  if signal then how = "killed by " .. core.signal_name(signal)
  elseif code then how = "with exit code " .. code end
  return errors.new("ProcessDiedError", {
    message = ("%s: %s died in run %d, %s"):format(state.name, who, run, how),
    exit_code = not signal and code or nil, signal = signal,
    current_run = run, pid = (select(2, state.channel:pid())),
  })
end

--- The error of a process that was late or died in `__error__`.
-- @param state of the process
-- @param trouble that
-- @param err what it was to handle
function failure.unhandled(state, trouble, err)
  if trouble.timeout then -- however it was ended
    trouble.failure = err
    return trouble
  end
  return errors.new("ErrorHandlerError", {
    message = state.name .. ": __error__ did not come to its end",
    original_error = trouble, failure = err, current_run = err.current_run,
    pid = trouble.pid, section = "error",
  })
end

--- Why a value is not told.
-- @param state of the process
-- @tparam string who is to listen
-- @tparam int waiting bytes that nobody has listened to yet
-- @tparam int bytes of the value
function failure.full(state, who, waiting, bytes)
  return ("%s:tell: a value of %d bytes is too much: %d wait for %s to listen, "
    .. "max_queued is %d"):format(state.name, bytes, waiting, who,
                                  state.config.max_queued)
end

-- Errors travel as they are; what of them cannot goes as its text.
local function plain(value)
  local ok, text = pcall(tostring, value)
  return ok and text or type(value)
end

--- Send an error as the last word.
-- @param channel
-- @param message `error`, and `has_result`, `result` of `__error__`
function failure.send(channel, message)
  local ok, sent = pcall(channel.say_error, channel, message)
  if ok and sent then return true end
  local err = message.error
  err.original_error = plain(err.original_error)
  if err.failure then err.failure = nil end
  ok, sent = pcall(channel.say_error, channel, message)
  return ok and sent
end

--- Say what `__error__` is about to handle: who hears of its death then knows
-- what is unhandled, and does not begin it again.
-- @param channel
-- @param err stays as it is
function failure.announce(channel, err)
  local copy = setmetatable({}, getmetatable(err))
  for name, value in each(err) do copy[name] = value end
  failure.send(channel, { error = copy, is_handled = true })
end

--- Did the process end in its `__error__`?
-- @param state of the process
function failure.in_handler(state)
  local _, section = state.channel:state()
  return sections.names[section] == "error"
end

return failure

-- A line that shows how far some work is: for Progress and for Pool.
-- On a terminal it is redrawn in place, elsewhere a new line is written now
-- and then.

local core = require "suitkaise.core"

local INTERVAL = 0.1        -- seconds between two redraws on a terminal
local LINE_INTERVAL = 10    -- between two plain lines when no total is known
local STEP = 10             -- percent between two plain lines
local COLUMNS = 80          -- of a terminal that does not say
local MOST_COLUMNS = 1000   -- whatever COLUMNS says
local MIN_BAR = 5           -- a narrower bar is left out
local MAX_HOURS = 100       -- a longer time is not worth its digits
local CLEAR_TO_END = "\27[K"

local Bar = {}
Bar.__index = Bar

-- nil when nobody looks at the stream as at a screen.
local function columns_of(stream)
  local fd = stream == io.stderr and 2 or stream == io.stdout and 1
  local columns = fd and core.terminal_columns(fd)
  if not columns then return nil end
  local told = tonumber(os.getenv "COLUMNS")
  if told and told >= 1 then
    return math.floor(math.min(told, MOST_COLUMNS))
  end
  return columns > 0 and columns or COLUMNS
end

-- A bar of `total` steps, nil when that is not known, on `stream` (stderr).
-- `columns` makes any stream a terminal of that width.
function Bar.new(stream, total, columns)
  stream = stream or io.stderr
  columns = columns or columns_of(stream)
  return setmetatable({
    _stream = stream,
    _total = total,
    _columns = columns,
    _widest = 0,          -- characters of the numbers, so far
    _pid = core.getpid(),
    _started = core.now(),
    _elapsed = 0,
    -- not before that many seconds (on a terminal, or without a total) or
    -- that many percent (plain lines)
    _next_draw = columns and 0 or LINE_INTERVAL,
    _next_percent = STEP,
    _completed = 0,
    _is_finished = false,
  }, Bar)
end

-- ---- the text ----

local function duration(seconds)
  if seconds >= MAX_HOURS * 3600 then return "over " .. MAX_HOURS .. "h" end
  seconds = math.floor(seconds + 0.5)
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then
    return string.format("%d:%02d", minutes, seconds % 60)
  end
  return string.format("%d:%02d:%02d", math.floor(minutes / 60), minutes % 60,
                       seconds % 60)
end

local function rate_text(rate)
  return string.format(rate < 100 and "%.1f/s" or "%.0f/s", rate)
end

local function percent_of(self)
  if self._total == 0 then return 100 end
  return math.min(100, 100 * self._completed / self._total)
end

local function is_complete(self)
  return self._total ~= nil and self._completed >= self._total
end

-- The numbers: "420/1000  12.3/s  eta 0:47".
local function numbers(self)
  local elapsed = self._elapsed
  local rate = elapsed > 0 and self._completed / elapsed or 0
  local text = string.format("%.0f", self._completed)
  if self._total then text = text .. string.format("/%.0f", self._total) end
  text = text .. "  " .. rate_text(rate)
  if self._is_finished then
    return text .. "  in " .. duration(elapsed)
  end
  if not self._total or rate <= 0 then return text end
  return text .. "  eta " .. duration((self._total - self._completed) / rate)
end

local function line(self)
  local right = numbers(self)
  if not self._total then return right end
  local percent = percent_of(self)
  local left = string.format("%3d %%", math.floor(percent))
  self._widest = math.max(self._widest, #right)
  local room = (self._columns or 0) - 1 - #left - #" []  " - self._widest
  if room < MIN_BAR then return left .. "  " .. right end
  local filled = math.floor(room * percent / 100)
  return left .. " [" .. ("#"):rep(filled) .. (" "):rep(room - filled) .. "]  "
    .. right
end

-- ---- drawing ----

local function draw(self)
  local text = line(self)
  if self._columns then
    text = "\r" .. text:sub(1, self._columns - 1) .. CLEAR_TO_END
  else
    text = text .. "\n"
  end
  self._stream:write(text)
  self._stream:flush()
end

local function is_due(self)
  if self._columns or not self._total then
    return self._elapsed >= self._next_draw
  end
  return percent_of(self) >= self._next_percent
end

local function schedule(self)
  local interval = self._columns and INTERVAL or LINE_INTERVAL
  self._next_draw = self._elapsed + interval
  if self._total then
    self._next_percent = math.floor(percent_of(self) / STEP) * STEP + STEP
  end
end

-- Does it belong to this process? A forked child has a copy of its parent's.
function Bar:is_mine()
  return self._pid == core.getpid()
end

-- Show that `completed` steps are done; `elapsed` seconds after the begin
-- (of the bar, if left out). -> false when there is nothing more to show.
function Bar:update(completed, elapsed)
  if self._is_finished then return false end
  self._completed = completed
  self._elapsed = elapsed or core.now() - self._started
  if is_complete(self) then
    self:finish()
    return false
  end
  if not is_due(self) then return true end
  if not self:is_mine() then return false end
  schedule(self)
  draw(self)
  return true
end

-- End a line that is being drawn on a terminal: of work that nobody goes on
-- with. Never raises.
function Bar:leave()
  if self._columns then pcall(self.finish, self) end
end

-- Show the last state and end the line. The second time nothing happens.
function Bar:finish()
  if self._is_finished or not self:is_mine() then return end
  self._is_finished = true
  draw(self)
  if self._columns then self._stream:write("\n") end
end

return Bar

-- A line that shows how far some work is: for Progress and for Pool.
-- On a terminal it is redrawn in place, elsewhere a new line is written now
-- and then.

local core = require "suitkaise.core"

local INTERVAL = 0.1        -- seconds between two redraws
local LINE_INTERVAL = 10    -- between two plain lines when no total is known
local STEP = 10             -- percent between two plain lines
local COLUMNS = 80          -- of a terminal that does not say
local MIN_BAR = 5           -- a narrower bar is left out
local CLEAR_TO_END = "\27[K"

local Bar = {}
Bar.__index = Bar

-- nil when nobody looks at the stream as at a screen.
local function columns_of(stream)
  local fd = stream == io.stderr and 2 or stream == io.stdout and 1
  local columns = fd and core.terminal_columns(fd)
  if not columns then return nil end
  local told = tonumber(os.getenv "COLUMNS")
  if told and told >= 1 then return told end
  return columns > 0 and columns or COLUMNS
end

-- A bar of `total` steps, nil when that is not known, on `stream` (stderr).
-- `columns` makes any stream a terminal of that width.
function Bar.new(stream, total, columns)
  stream = stream or io.stderr
  return setmetatable({
    _stream = stream,
    _total = total,
    _columns = columns or columns_of(stream),
    _pid = core.getpid(),
    _started = core.now(),
    _next_time = 0,     -- terminal, or no total: not before that time
    _next_percent = STEP,
    _completed = 0,
    _is_finished = false,
  }, Bar)
end

-- ---- the text ----

local function duration(seconds)
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
  if self._is_finished or is_complete(self) then
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
  local room = (self._columns or 0) - 1 - #left - #right - 5 -- " [" "]  "
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

-- Is it time for another plain line? Says so once.
local function passed_step(self)
  if not self._total then return self._elapsed >= self._next_time end
  return percent_of(self) >= self._next_percent
end

local function draw_if_due(self)
  if self._columns then
    local now = core.now()
    if now < self._next_time then return end
    self._next_time = now + INTERVAL
  else
    if not passed_step(self) then return end
    self._next_time = self._elapsed + LINE_INTERVAL
    self._next_percent =
      math.floor(percent_of(self) / STEP) * STEP + STEP
  end
  draw(self)
end

-- Does it belong to this process? A forked child has a copy of its parent's.
function Bar:is_mine()
  return self._pid == core.getpid()
end

-- Show that `completed` steps are done; `elapsed` seconds after the begin
-- (of the bar, if left out). -> false when there is nothing more to show.
function Bar:update(completed, elapsed)
  if self._is_finished or not self:is_mine() then return false end
  self._completed = completed
  self._elapsed = elapsed or core.now() - self._started
  if is_complete(self) then
    self:finish()
    return false
  end
  draw_if_due(self)
  return true
end

-- Show the last state and end the line. The second time nothing happens.
function Bar:finish()
  if self._is_finished or not self:is_mine() then return end
  self._elapsed = self._elapsed or core.now() - self._started
  self._is_finished = true
  draw(self)
  if self._columns then self._stream:write("\n") end
end

return Bar

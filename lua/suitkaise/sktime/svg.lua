-- A timer's distribution as an SVG picture: bars, an axis in the unit that
-- fits, and lines at the median, the 95th and the 99th percentile.

local histogram = require "suitkaise.sktime.histogram"
local units = require "suitkaise.sktime.units"

local WIDTH, HEIGHT = 760, 400
local LEFT, RIGHT, TOP, BOTTOM = 64, 728, 124, 340 -- of the plot
local BINS = 48
local GAP = 1.5           -- between two bars
local NARROW = 5          -- bars below that width have none
local LABEL_ROOM = 86     -- pixels that a label on the axis wants
local MARK_ROOM = 100      -- pixels of the label of a mark
local TICKS_Y = 4
local LONE_BAR = 48       -- width of a bar that has no others beside it

local INK, PALE, GRID, BAR = "#1f2937", "#6b7280", "#e5e7eb", "#3b82f6"
local MARKS = {
  { 50, "median", "#047857" }, { 95, "p95", "#b45309" },
  { 99, "p99", "#b91c1c" },
}

local format = string.format

-- ---- text ----

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
                   ['"'] = "&quot;" }

-- The lengths of UTF-8 by their first byte, and what follows it.
local SEQUENCES = {
  "^[%z\1-\127]", "^[\194-\223][\128-\191]",
  "^[\225-\236\238][\128-\191][\128-\191]",
  "^\224[\160-\191][\128-\191]", "^\237[\128-\159][\128-\191]",
  "^\239[\128-\190][\128-\191]", "^\239\191[\128-\189]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

local function character(text, at)
  for _, pattern in ipairs(SEQUENCES) do
    local _, last = text:find(pattern, at)
    if last then return text:sub(at, last) end
  end
  return nil
end

-- Any bytes as text of XML: what it has no room for becomes a "?".
local function escape(text)
  local out, at = {}, 1
  while at <= #text do
    local c = character(text, at) or "?"
    at = at + (#c > 1 and #c or 1)
    if c:find "^[%z\1-\31\127]" then c = c:find "[\t\n\r]" and " " or "?" end
    out[#out + 1] = ENTITIES[c] or c
  end
  return table.concat(out)
end

local function text(x, y, size, color, anchor, content, more)
  return format(
    '<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s"%s>'
    .. "%s</text>", x, y, size, color, anchor, more or "", escape(content))
end

local function line(x1, y1, x2, y2, color, more)
  return format('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"%s/>',
                x1, y1, x2, y2, color, more or "")
end

-- ---- scales ----

-- 1, 2 or 5 times a power of ten, at least `least`.
local function round_step(least)
  local power = 10 ^ math.floor(math.log(least) / math.log(10))
  for _, factor in ipairs { 1, 2, 5 } do
    if factor * power >= least * 0.999999 then return factor * power end
  end
  return 10 * power
end

local function even_ticks(low, high, room)
  local step = round_step((high - low) / room)
  if not (step > 0) then return { low, high } end -- too small to divide
  local first = math.ceil(low / step - 1e-9)
  local ticks = {}
  for i = 0, room do -- first + i may be too large to be exact
    local tick = (first + i) * step
    if tick > high + step * 1e-9 then break end
    ticks[#ticks + 1] = tick
  end
  return ticks
end

local function log_ticks(low, high, room)
  local function decade(x) return math.log(x) / math.log(10) end
  local factors = (decade(high) - decade(low)) * 3 <= room and { 1, 2, 5 }
    or { 1 }
  local every = math.ceil((decade(high) - decade(low)) * #factors / room)
  local ticks = {}
  for power = math.floor(decade(low)), math.ceil(decade(high)) do
    for _, factor in ipairs(factors) do
      local tick = factor * 10 ^ power
      if tick >= low * 0.999999 and tick <= high * 1.000001
         and power % every == 0 then
        ticks[#ticks + 1] = tick
      end
    end
  end
  return ticks
end

-- Labels of one unit on an even axis, of their own on a logarithmic one.
local function label_of(h, ticks)
  if h.is_log then
    return function(seconds)
      local name, size = units.pick(seconds)
      return format("%g %s", tonumber(format("%.3g", seconds / size)), name)
    end
  end
  local name, size = units.pick(math.max(h.high, ticks[#ticks] or 0))
  return function(seconds)
    return format("%g %s", tonumber(format("%.6g", seconds / size)), name)
  end
end

-- ---- parts of the picture ----

local function x_of(h, seconds)
  return LEFT + h.to_scale(seconds) * (RIGHT - LEFT)
end

local function add_counts(out, top)
  local step = math.max(round_step(top / TICKS_Y), 1)
  for count = 0, top, step do
    local y = BOTTOM - count / top * (BOTTOM - TOP)
    out[#out + 1] = line(LEFT, y, RIGHT, y, count == 0 and PALE or GRID)
    out[#out + 1] = text(LEFT - 10, y + 4, 12, PALE, "end",
                         format("%d", count))
  end
end

local function add_axis(out, h)
  local room = math.floor((RIGHT - LEFT) / LABEL_ROOM)
  local ticks
  if #h == 1 then
    ticks = { h.low }
  else
    ticks = (h.is_log and log_ticks or even_ticks)(h.low, h.high, room)
  end
  local label = #h == 1 and units.show or label_of(h, ticks)
  for _, tick in ipairs(ticks) do
    local x = x_of(h, tick)
    out[#out + 1] = line(x, BOTTOM, x, BOTTOM + 5, PALE)
    out[#out + 1] = text(x, BOTTOM + 21, 12, PALE, "middle", label(tick))
  end
  out[#out + 1] = text((LEFT + RIGHT) / 2, BOTTOM + 43, 12, PALE, "middle",
    h.is_log and "time (logarithmic)" or "time")
end

local function add_bars(out, h, top)
  local width = #h == 1 and LONE_BAR or (RIGHT - LEFT) / #h
  local gap = width > NARROW and GAP or 0
  for i = 1, #h do
    if h[i] > 0 then
      local height = h[i] / top * (BOTTOM - TOP)
      local x = #h == 1 and (LEFT + RIGHT - width) / 2
        or LEFT + (i - 1) * width
      out[#out + 1] = format(
        '<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s">'
        .. "<title>%s to %s: %d</title></rect>",
        x + gap / 2, BOTTOM - height, width - gap, height, BAR,
        units.show(h.edges[i - 1]), units.show(h.edges[i]), h[i])
    end
  end
end

local HALO = ' paint-order="stroke" stroke="#ffffff" stroke-width="4"'

-- Each label has a row of its own, and all are on one side if there is room:
-- then no line of another mark runs through one.
local function add_marks(out, h, timer)
  if #h == 1 then return end
  local is_left = x_of(h, timer:percentile(99)) > RIGHT - MARK_ROOM
  local labels = {}
  for i, mark in ipairs(MARKS) do
    local p, name, color = mark[1], mark[2], mark[3]
    local seconds = timer:percentile(p)
    local x = x_of(h, seconds)
    local y = TOP - 34 + 14 * (is_left and #MARKS - i or i - 1)
    local to_left = is_left and x > LEFT + MARK_ROOM
    out[#out + 1] = line(x, y - 9, x, BOTTOM, color,
                         ' stroke-width="1.5" stroke-dasharray="4 3"')
    labels[i] = text(to_left and x - 5 or x + 5, y, 12, color,
                     to_left and "end" or "start",
                     name .. " " .. units.show(seconds), HALO)
  end
  out[#out + 1] = table.concat(labels, "\n")
end

local function summary(timer)
  local n = timer.num_times
  local words = { format("%d %s", n, n == 1 and "time" or "times") }
  local function add(name, seconds)
    if seconds then
      words[#words + 1] = name .. " " .. units.show(seconds)
    end
  end
  add("mean", timer.mean)
  add("stdev", timer.stdev)
  add("min", timer.min)
  add("max", timer.max)
  add("total", timer.total_time)
  return table.concat(words, "   ")
end

local function head(title)
  return format(
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    .. '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
    .. 'viewBox="0 0 %d %d" role="img" font-family="system-ui, '
    .. 'Helvetica, Arial, sans-serif">\n<title>%s</title>\n'
    .. '<rect width="%d" height="%d" fill="#ffffff"/>',
    WIDTH, HEIGHT, WIDTH, HEIGHT, escape(title), WIDTH, HEIGHT)
end

-- The top of the scale: a step above the highest bar.
local function top_of(h)
  local step = math.max(round_step(h.most / TICKS_Y), 1)
  return math.ceil(h.most / step) * step
end

return function(timer, title)
  local out = { head(title) }
  out[2] = text(LEFT, 38, 18, INK, "start", title, ' font-weight="600"')
  local h = histogram(timer, BINS)
  if h then
    local top = top_of(h)
    out[3] = text(LEFT, 60, 13, PALE, "start", summary(timer),
                  ' xml:space="preserve"')
    add_counts(out, top)
    add_bars(out, h, top)
    add_axis(out, h)
    add_marks(out, h, timer)
  else
    out[3] = text(LEFT, 60, 13, PALE, "start", "no times")
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

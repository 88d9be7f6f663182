-- Prints a summary as tables of at most 80 columns.

local json = require "codestats.json"

local tables = {}

local ELLIPSIS = "..."

-- ---- cells ----

local function count(n)
  local digits = ("%.0f"):format(n)
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function size(bytes)
  for _, unit in ipairs { "B", "KiB", "MiB" } do
    if bytes < 1024 then
      return (unit == "B" and "%d %s" or "%.1f %s"):format(bytes, unit)
    end
    bytes = bytes / 1024
  end
  return ("%.1f GiB"):format(bytes)
end

-- Names may hold anything: nothing in them may move the cursor.
local function printable(name)
  return (json.utf8(name):gsub("%c", function(c)
    return c == "\n" and "\\n" or ("\\x%02x"):format(c:byte())
  end))
end

local function width_of(text)
  local _, characters = text:gsub("[^\128-\191]", "")
  return characters
end

-- Cut to a width: what is at the end of a path tells more than its beginning.
local function fit(text, width)
  if width_of(text) <= width then return text end
  local keep = {}
  for character in text:gmatch "[^\128-\191][\128-\191]*" do
    keep[#keep + 1] = character
  end
  return ELLIPSIS .. table.concat(keep, "", #keep - width + #ELLIPSIS + 1)
end

local function left(text, width)
  text = fit(printable(text), width)
  return text .. (" "):rep(width - width_of(text))
end

local function right(text, width)
  return (" "):rep(width - #text) .. text
end

-- ---- columns: `text` makes a cell of a row ----

local function column(title, width, align, text)
  return { title = title, width = width, align = align, text = text }
end

local function words(title, width, field)
  return column(title, width, left, function(row) return row[field] end)
end

local function number(field, width)
  return column(field, width, right, function(row) return count(row[field]) end)
end

local LANGUAGE = words("language", 14, "language")

local TOTALS = {
  LANGUAGE, number("files", 8), number("lines", 11), number("blank", 10),
  number("comment", 10), number("code", 11),
}

local LARGEST = {
  column("size", 9, right, function(row) return size(row.bytes) end),
  number("lines", 9), words("file", 54, "name"),
}

local INCLUDED = { number("files", 9), LANGUAGE, words("included", 49, "name") }

local SKIPPED = { words("why", 26, "reason"), words("file", 50, "name") }

local function bar(width, most)
  return column("", width, left, function(row)
    return ("#"):rep(math.ceil(width * row.uses / most))
  end)
end

local function identifier_columns(rows)
  return { number("uses", 9), LANGUAGE, words("identifier", 25, "name"),
           bar(22, rows[1] and rows[1].uses) }
end

-- ---- tables ----

local function print_line(columns, text_of)
  local cells = {}
  for i, c in ipairs(columns) do cells[i] = c.align(text_of(c), c.width) end
  print(("  " .. table.concat(cells, "  "):gsub("%s+$", "")))
end

local function print_rule(columns)
  print_line(columns, function(c) return ("-"):rep(c.width) end)
end

local function print_table(title, columns, rows)
  if #rows == 0 then return end
  print("\n" .. title)
  print_line(columns, function(c) return c.title end)
  print_rule(columns)
  for _, row in ipairs(rows) do
    print_line(columns, function(c) return c.text(row) end)
  end
end

local function without_language(columns)
  local others = {}
  for _, c in ipairs(columns) do
    if c ~= LANGUAGE then others[#others + 1] = c end
  end
  return others
end

-- The lists of one language, or of all of them.
local function print_lists(of, language)
  local function print_list(title, columns, rows)
    if language then
      title, columns = title .. ": " .. language, without_language(columns)
    end
    print_table(title, columns, rows)
  end
  print_list("Commonest identifiers", identifier_columns(of.identifiers),
             of.identifiers)
  print_list("Largest files", LARGEST, of.largest_files)
  print_list("Most included files", INCLUDED, of.most_included)
end

--- Print a summary.
-- @tparam table summary
-- @tparam boolean by_language lists for each language, and not for all
function tables.print(summary, by_language)
  print_table("Languages", TOTALS, summary.languages)
  if #summary.languages ~= 1 then
    print_rule(TOTALS)
    print_line(TOTALS, function(c)
      return c == LANGUAGE and "all" or c.text(summary.totals)
    end)
  end
  if by_language then
    for _, language in ipairs(summary.languages) do
      print_lists(language, language.language)
    end
  else
    print_lists(summary)
  end
  print_table(count(#summary.skipped) .. " left out", SKIPPED, summary.skipped)
end

return tables

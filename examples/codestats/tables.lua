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

-- ---- tables: columns of heading, width, alignment and text of a row ----

local function field(name, show)
  return function(row) return (show or tostring)(row[name]) end
end

local function number(name, width)
  return { name, width, right, field(name, count) }
end

local function print_line(columns, text_of)
  local cells = {}
  for i, column in ipairs(columns) do
    cells[i] = column[3](text_of(column), column[2])
  end
  print(("  " .. table.concat(cells, "  "):gsub("%s+$", "")))
end

local function print_rule(columns)
  print_line(columns, function(column) return ("-"):rep(column[2]) end)
end

local function print_table(title, columns, rows)
  if #rows == 0 then return end
  print("\n" .. title)
  print_line(columns, function(column) return column[1] end)
  print_rule(columns)
  for _, row in ipairs(rows) do
    print_line(columns, function(column) return column[4](row) end)
  end
end

local LANGUAGE = { "language", 14, left, field "language" }

local TOTALS = {
  LANGUAGE, number("files", 8), number("lines", 11), number("blank", 10),
  number("comment", 10), number("code", 11),
}

local LARGEST = {
  { "size", 9, right, field("bytes", size) }, number("lines", 9),
  { "file", 54, left, field "name" },
}

local INCLUDED = {
  number("files", 9), LANGUAGE, { "included", 49, left, field "name" },
}

local SKIPPED = {
  { "why", 26, left, field "reason" }, { "file", 50, left, field "name" },
}

local BAR = 22  -- characters of the longest

local function identifier_columns(rows)
  local most = rows[1] and rows[1].uses
  return {
    number("uses", 9), LANGUAGE, { "identifier", 25, left, field "name" },
    { "", BAR, left, function(row)
      return ("#"):rep(math.ceil(BAR * row.uses / most))
    end },
  }
end

local function without_language(columns)
  local others = {}
  for _, column in ipairs(columns) do
    if column ~= LANGUAGE then others[#others + 1] = column end
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
    print_line(TOTALS, function(column)
      return column == LANGUAGE and "all" or column[4](summary.totals)
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

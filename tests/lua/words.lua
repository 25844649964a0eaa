-- SPDX-License-Identifier: LGPL-2.1-or-later
-- A text of some MB, taken apart, counted, sorted, and put together again.
local seed = 42
local function random(n)
	seed = (seed * 1103515245 + 12345) % 2147483648
	return seed // 65536 % n + 1
end

local syllables = { "ba", "be", "la", "mo", "ni", "ru", "sta", "tor" }
local text = {}
for i = 1, 200000 do
	local word = {}
	for k = 1, random(3) do word[k] = syllables[random(#syllables)] end
	text[i] = table.concat(word)
end
text = table.concat(text, " ")
print(#text, text:sub(1, 60))

local count, words = {}, {}
for word in text:gmatch("%a+") do
	if not count[word] then words[#words + 1] = word end
	count[word] = (count[word] or 0) + 1
end
table.sort(words, function(a, b)
	return count[a] > count[b] or (count[a] == count[b] and a < b)
end)
for i = 1, 10 do print(words[i], count[words[i]]) end
print((text:gsub("ba", "BA")):upper():reverse():sub(1, 60))

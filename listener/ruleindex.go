package listener

import (
	"slices"
	"strings"
)

// smallTable is the number of rules up to which trying each in turn is as fast
// as the index (BenchmarkMatch).
const smallTable = 4

// A ruleIndex finds the rules that can match a request without trying all.
//
// Each rule is filed under what every request it matches must have: its host
// names (or their last labels, if they have wildcards), or the literal
// beginnings of its path patterns, whichever it shares with fewer other rules.
// Rules that have neither (regexes, other conditions) are tried each time. The
// index only narrows: every candidate's conditions are still checked in full.
type ruleIndex struct {
	hosts map[string][]int // by whole host, or by suffix from a dot on
	paths prefixSet
	rest  []int // rules filed nowhere
}

func newRuleIndex(rules []compiledRule) ruleIndex {
	ix := ruleIndex{hosts: make(map[string][]int)}
	if len(rules) <= smallTable {
		for i := range rules {
			ix.rest = append(ix.rest, i)
		}
		return ix
	}
	hosts, paths := make(map[string]int), make(map[string]int)
	for i := range rules {
		countKeys(hosts, hostKeys(&rules[i].conditions))
		countKeys(paths, pathKeys(&rules[i].conditions))
	}
	byPath := make(map[string][]int)
	for i := range rules {
		hostKeys, pathKeys := hostKeys(&rules[i].conditions), pathKeys(&rules[i].conditions)
		file := byPath
		keys := pathKeys
		if len(pathKeys) == 0 || len(hostKeys) > 0 && crowd(hosts, hostKeys) <= crowd(paths, pathKeys) {
			file, keys = ix.hosts, hostKeys
		}
		if len(keys) == 0 {
			ix.rest = append(ix.rest, i)
		}
		for _, key := range keys {
			file[key] = append(file[key], i)
		}
	}
	ix.paths = newPrefixSet(byPath)
	return ix
}

func countKeys(counts map[string]int, keys []string) {
	for _, key := range keys {
		counts[key]++
	}
}

// crowd returns how many rules the most shared of keys has.
func crowd(counts map[string]int, keys []string) int {
	most := 0
	for _, key := range keys {
		most = max(most, counts[key])
	}
	return most
}

// hostKeys returns keys of which a matching request's host has one, or none if
// the rule cannot be filed by host.
func hostKeys(c *conditionSet) []string {
	if c.host == nil || len(c.host.regexes) > 0 {
		return nil
	}
	var keys []string
	for i := range c.host.globs {
		key, whole := c.host.globs[i].literalSuffix()
		if !whole {
			dot := strings.IndexByte(key, '.')
			if dot < 0 {
				return nil
			}
			key = key[dot:]
		}
		keys = append(keys, key)
	}
	return uniqueKeys(keys)
}

// pathKeys is hostKeys for the beginning of the path.
func pathKeys(c *conditionSet) []string {
	if c.path == nil || len(c.path.regexes) > 0 {
		return nil
	}
	var keys []string
	for i := range c.path.globs {
		key := c.path.globs[i].literalPrefix()
		if key == "" {
			return nil
		}
		keys = append(keys, key)
	}
	return uniqueKeys(keys)
}

func uniqueKeys(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}

// first returns the position of the first rule that matches s, or len(rules).
func (ix *ruleIndex) first(rules []compiledRule, s *subject) int {
	best := firstOf(rules, ix.rest, s, len(rules))
	if len(ix.hosts) > 0 {
		best = ix.firstByHost(rules, s, best)
	}
	for at := ix.paths.longest(s.path); at >= 0; at = ix.paths.entries[at].parent {
		best = firstOf(rules, ix.paths.entries[at].rules, s, best)
	}
	return best
}

func (ix *ruleIndex) firstByHost(rules []compiledRule, s *subject, best int) int {
	best = firstOf(rules, ix.hosts[s.host], s, best)
	// No key is longer than a value may be, so the walk is short however long
	// a host the client makes up.
	for i := max(0, len(s.host)-MaxConditionLength); i < len(s.host); i++ {
		if s.host[i] == '.' {
			best = firstOf(rules, ix.hosts[s.host[i:]], s, best)
		}
	}
	return best
}

// firstOf returns the first of candidates, which are in ascending order, that
// matches s and stands before best; or else best.
func firstOf(rules []compiledRule, candidates []int, s *subject, best int) int {
	for _, i := range candidates {
		if i >= best {
			return best
		}
		if rules[i].conditions.matches(s) {
			return i
		}
	}
	return best
}

// A prefixSet finds which of its strings a text begins with.
//
// The strings are sorted, and each knows the longest other one that it begins
// with, its parent. If P is the longest that a text begins with, all entries
// from P up to the text begin with P too; so P is the last entry not above the
// text, or a parent of it.
type prefixSet struct {
	entries []prefixEntry
}

type prefixEntry struct {
	prefix string
	parent int // -1 if none
	rules  []int
}

func newPrefixSet(rules map[string][]int) prefixSet {
	var set prefixSet
	for prefix, list := range rules {
		set.entries = append(set.entries, prefixEntry{prefix: prefix, rules: list})
	}
	slices.SortFunc(set.entries, func(a, b prefixEntry) int { return strings.Compare(a.prefix, b.prefix) })
	for i := range set.entries {
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(set.entries[i].prefix, set.entries[parent].prefix) {
			parent = set.entries[parent].parent
		}
		set.entries[i].parent = parent
	}
	return set
}

// longest returns the entry with the longest prefix that text begins with, or
// -1. The others that it begins with are its parents.
func (set *prefixSet) longest(text string) int {
	low, high := 0, len(set.entries)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if set.entries[middle].prefix <= text {
			low = middle + 1
		} else {
			high = middle
		}
	}
	at := low - 1
	for at >= 0 && !strings.HasPrefix(text, set.entries[at].prefix) {
		at = set.entries[at].parent
	}
	return at
}

package listener

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"

	"github.com/postern-lb/postern/internal/fault"
)

// Protocol is what a listener speaks with its clients.
type Protocol string

// The protocols of a listener (ALB, "Listeners for your Application Load Balancers").
const (
	ProtocolHTTP  Protocol = "HTTP"
	ProtocolHTTPS Protocol = "HTTPS"
)

// Limits of one listener rule (ALB, "Quotas for your Application Load
// Balancers" and "Condition types for listener rules"). Where two of ALB's pages
// disagree on the wildcards, 5 or 6, the smaller figure holds.
const (
	MaxRulePriority     = 50000 // priorities run from 1 to this
	MaxRuleWildcards    = 5     // '*' and '?' in all conditions of a rule together
	MaxRuleValues       = 5     // values in all conditions of a rule together
	MaxConditionValues  = 3     // values in one condition, source_ip excepted
	MaxSourceIPValues   = 5     // address ranges in a source_ip condition
	MaxConditionLength  = 128   // characters of a host, path, header or query value, or a regex
	MaxConditionNameLen = 40    // characters of a method or of a header's name
)

// maxRegexInstructions bounds the compiled size of a regex, and so the work that
// each byte of a request can cause.
const maxRegexInstructions = 4096

// A RuleConfig is one rule of a listener as its owner wrote it: what
// [CompileRules] checks.
type RuleConfig struct {
	// Priority orders the rules: the lowest is tried first. From 1 to
	// MaxRulePriority, and unlike that of every other rule of the listener.
	Priority int
	// Conditions must all hold for the rule to apply. At least one.
	Conditions []ConditionConfig
	// Actions holds the one action that is taken.
	Actions []ActionConfig
}

// A Rule is the outcome of [RuleTable.Match]. It is never modified.
type Rule struct {
	// Priority is that of the rule's config, or 0 for the default rule, as
	// the access log's matched_rule_priority has it.
	Priority int
	// Action is what to do with the request.
	Action Action
}

// A RuleTable holds the rules of one listener in a form that is cheap to
// search. It never changes once compiled, so any number of goroutines may use
// it at once.
type RuleTable struct {
	rules    []compiledRule // by ascending priority
	index    ruleIndex
	fallback Rule

	certificates []*certificateCondition // by index
}

// compiledRule is a rule with its conditions, sorted by what they look at.
type compiledRule struct {
	rule       Rule
	conditions conditionSet
}

// CompileRules checks the rules and the default actions of a listener that
// speaks protocol, and makes a table of them. The order of rules does not
// matter: priorities do.
//
// The error, if any, is a [fault.List] that holds everything found wrong, with
// paths below the listener, such as "rules[2].conditions[0].path_pattern.values[1]"
// or "default_actions[0].redirect.port".
func CompileRules(rules []RuleConfig, defaults []ActionConfig, protocol Protocol) (*RuleTable, error) {
	var faults fault.List
	table := &RuleTable{}
	byPriority := make(map[int]int, len(rules))
	for i := range rules {
		path := fault.Index("rules", i)
		checkPriority(&faults, path, rules[i].Priority, byPriority)
		if _, taken := byPriority[rules[i].Priority]; !taken {
			byPriority[rules[i].Priority] = i
		}
		table.rules = append(table.rules, compileRule(&faults, path, &rules[i], protocol))
	}
	table.fallback.Action = compileActions(&faults, "default_actions", defaults, protocol)
	table.numberCertificates(&faults)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(table.rules, func(a, b compiledRule) int {
		return cmp.Compare(a.rule.Priority, b.rule.Priority)
	})
	table.index = newRuleIndex(table.rules)
	return table, nil
}

func checkPriority(faults *fault.List, path string, priority int, taken map[int]int) {
	path = fault.Join(path, "priority")
	if priority < 1 || priority > MaxRulePriority {
		faults.Add(path, "is %d: choose a priority from 1 to %d", priority, MaxRulePriority)
		return
	}
	if other, ok := taken[priority]; ok {
		faults.Add(path, "is %d, which rules[%d] has too: give each rule its own priority", priority, other)
	}
}

func compileRule(faults *fault.List, path string, cfg *RuleConfig, protocol Protocol) compiledRule {
	return compiledRule{
		rule: Rule{
			Priority: cfg.Priority,
			Action:   compileActions(faults, fault.Join(path, "actions"), cfg.Actions, protocol),
		},
		conditions: compileConditions(faults, fault.Join(path, "conditions"), cfg.Conditions),
	}
}

// Len returns the number of rules, without the default rule.
func (t *RuleTable) Len() int { return len(t.rules) }

// TargetGroups returns the name of every target group that some action forwards
// to, sorted and without repeats, for a check that each of them exists.
func (t *RuleTable) TargetGroups() []string {
	names := t.fallback.Action.groupNames()
	for i := range t.rules {
		names = append(names, t.rules[i].rule.Action.groupNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Match returns the rule with the lowest priority whose conditions all hold for
// r, or the default rule. Client is the address of the TCP peer (or the one
// that a trusted PROXY header gave), which source_ip conditions look at; an
// invalid address is in no range.
//
// Match looks at the method, the Host, the request target and the headers as
// they stand in r, so what must not influence routing has to be removed before.
// It reads no body, modifies nothing, and does not allocate unless the path of
// the request needs normalising (see [NormalizePath]). No client_certificate
// condition holds, since r knows no connection of a listener.
func (t *RuleTable) Match(r *http.Request, client netip.Addr) *Rule {
	return t.match(r, client, nil)
}

// match is Match for a connection about which the conditions of t were asked.
func (t *RuleTable) match(r *http.Request, client netip.Addr, certificates []uint64) *Rule {
	if len(t.rules) == 0 {
		return &t.fallback
	}
	s := newSubject(r, client)
	s.certificates = certificates
	best := t.index.first(t.rules, &s)
	if best == len(t.rules) {
		return &t.fallback
	}
	return &t.rules[best].rule
}

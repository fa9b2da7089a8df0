package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Latest returns the backup that an incremental one would follow: the last in
// the order of [Merge], or nil if there is none.
func Latest(all []Manifest) *Manifest {
	if len(all) == 0 {
		return nil
	}
	return &all[len(all)-1]
}

// Chain returns what must be restored, oldest first, to reach one backup. all is in
// the order of [Merge]; an empty series means that of the latest backup, number 0 the
// end of the series.
//
// Dgraph restores an older state when the newest backup is out of reach, and
// never looks at what lies between. Chain is loud: ErrNoBackup, with the backups
// that there are; ErrGap, with the numbers on both sides; ErrCorrupt for two
// backups of one number, and for kinds, encryption or keys that are mixed.
func Chain(all []Manifest, series string, number int) ([]Manifest, error) {
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrNoBackup)
	}
	if series == "" {
		series = Latest(all).Series
	}
	chain := run(all, series)
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: series %s; there are %s", ErrNoBackup, quote(series), ids(all))
	}
	if number != 0 {
		numbers := numbers(chain)
		chain = slices.DeleteFunc(chain, func(m Manifest) bool { return m.Number > number })
		if n := len(chain); n == 0 || chain[n-1].Number != number {
			return nil, fmt.Errorf("%w: series %s holds %s, not %d", ErrNoBackup, quote(series), numbers, number)
		}
	}
	if err := verify(chain); err != nil {
		return nil, inside(err, "series %s", quote(series))
	}
	return chain, nil
}

// run returns the backups of a series by number. Dgraph draws the names of series from
// a quarter of a million and may draw one twice: then the later series counts. Brock
// does not, so two fulls that have commit records stay, to be refused.
func run(all []Manifest, series string) []Manifest {
	var ms []Manifest
	for _, m := range all {
		if m.Series != series {
			continue
		}
		if m.Full && m.Record == nil && begun(ms) {
			ms = nil
		}
		ms = append(ms, m)
	}
	slices.SortStableFunc(ms, func(a, b Manifest) int { return cmp.Compare(a.Number, b.Number) })
	return ms
}

// begun reports whether ms has a full backup, and that by Dgraph.
func begun(ms []Manifest) bool {
	i := slices.IndexFunc(ms, func(m Manifest) bool { return m.Full })
	return i >= 0 && ms[i].Record == nil
}

// verify makes sure that nothing is missing from a chain and nothing in it
// contradicts itself, and fills in what each backup follows.
func verify(chain []Manifest) error {
	for i := range chain {
		if err := sound(&chain[i]); err != nil {
			return inside(err, "backup %d", chain[i].Number)
		}
		if i == 0 {
			continue
		}
		if err := follows(&chain[i], &chain[i-1]); err != nil {
			return err
		}
	}
	if first := &chain[0]; first.Number != 1 {
		return fmt.Errorf("%w: backup 1 is missing, the first one there is %d", ErrGap, first.Number)
	}
	return nil
}

// sound refuses a backup that no restore could begin with or continue.
func sound(m *Manifest) error {
	switch {
	case m.Series == "":
		return corrupt("backup_id is empty")
	case m.Number < 1:
		return corrupt("backup_num is %d, and they begin at 1", m.Number)
	case m.ReadTs == 0:
		return corrupt("it has no read timestamp")
	case len(m.Groups) == 0:
		return corrupt("it lists no groups")
	case m.Full && m.Number != 1:
		return corrupt("it is full, and only the first of a series is")
	case !m.Full && m.Number == 1:
		return corrupt("it is incremental, and nothing comes before it")
	}
	return nil
}

// follows makes sure that m may be restored on top of before.
func follows(m, before *Manifest) error {
	switch {
	case m.Number == before.Number:
		return corrupt("backup %d is in directory %s and in %s", m.Number, quote(before.Path), quote(m.Path))
	case m.Number != before.Number+1:
		return fmt.Errorf("%w: backup %d is followed by %d", ErrGap, before.Number, m.Number)
	case m.Kind != before.Kind:
		return corrupt("backup %d is of kind %s and %d of kind %s", before.Number, before.Kind, m.Number, m.Kind)
	case m.Encrypted != before.Encrypted:
		return corrupt("backup %d is %s and %d is %s", before.Number, secrecy(before), m.Number, secrecy(m))
	case keyCheck(m) != "" && keyCheck(before) != "" && keyCheck(m) != keyCheck(before):
		return corrupt("backup %d is encrypted with key %s and %d with %s", before.Number, keyCheck(before), m.Number, keyCheck(m))
	case m.Record == nil:
		m.Since = before.ReadTs
	case m.Since != before.ReadTs:
		return fmt.Errorf("%w: backup %d holds what changed after %d, and backup %d ends at %d",
			ErrGap, m.Number, m.Since, before.Number, before.ReadTs)
	}
	return nil
}

func secrecy(m *Manifest) string {
	if m.Encrypted {
		return "encrypted"
	}
	return "plain"
}

func keyCheck(m *Manifest) string {
	if m.Record == nil {
		return ""
	}
	return m.Record.KeyCheck
}

// ids lists the series there are, the latest first.
func ids(all []Manifest) string {
	const most = 20
	var texts []string
	seen := map[string]bool{}
	for _, m := range slices.Backward(all) {
		s := m.Series
		if seen[s] {
			continue
		}
		seen[s] = true
		if len(texts) < most {
			texts = append(texts, fmt.Sprintf("%s (%s)", quote(s), numbers(run(all, s))))
		}
	}
	if more := len(seen) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

// numbers tells the numbers of a series: 1 to 4, 6.
func numbers(ms []Manifest) string {
	var texts []string
	for i := 0; i < len(ms); {
		j := i
		for j+1 < len(ms) && ms[j+1].Number <= ms[j].Number+1 {
			j++
		}
		text := strconv.Itoa(ms[i].Number)
		if ms[j].Number != ms[i].Number {
			text += " to " + strconv.Itoa(ms[j].Number)
		}
		texts = append(texts, text)
		i = j + 1
	}
	if len(texts) > 8 {
		texts = append(texts[:8], "...")
	}
	return strings.Join(texts, ", ")
}

// Command alerts says which alerts of a Prometheus fire at the end of some series of samples. It reads
// {"groups": [...], "start": <seconds since 1970>, "series": ["metric{label=\"x\"} 1+0x60", ...]} and
// writes the alerts as JSON: name, labels and annotations of each. The series are in the notation of
// Prometheus' own unit tests, a sample each minute. Rules are read, evaluated and their texts filled in
// by Prometheus' own code. promtool does the same, but holds the clients of every cloud.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const interval = time.Minute

type question struct {
	Groups json.RawMessage `json:"groups"`
	Start  int64           `json:"start"`
	Series []string        `json:"series"`
}

type alert struct {
	Alert       string            `json:"alert"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	parser := parser.NewParser(parser.Options{})
	rules, errs := rulefmt.Parse(
		[]byte(fmt.Sprintf(`{"groups": %s}`, asked.Groups)),
		false, model.UTF8Validation, parser, slog.New(slog.NewTextHandler(io.Discard, nil)),
	)
	if len(errs) > 0 {
		return errs[0]
	}
	start := time.Unix(asked.Start, 0)
	samples, end, err := load(parser, asked.Series, start)
	if err != nil {
		return err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		Parser: parser, MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
	})
	query := func(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
		query, err := engine.NewInstantQuery(ctx, samples, nil, text, at)
		if err != nil {
			return nil, err
		}
		defer query.Close()
		vector, err := query.Exec(ctx).Vector()
		return slices.Clone(vector), err
	}
	fire := []alert{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			some, err := firing(query, rule, start, end)
			if err != nil {
				return fmt.Errorf("%s: %w", rule.Alert, err)
			}
			fire = append(fire, some...)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(fire)
}

// firing are the alerts of a rule whose condition has been true for as long as it says, at the end.
func firing(query template.QueryFunc, rule rulefmt.Rule, start, end time.Time) ([]alert, error) {
	ctx := context.Background()
	since := map[uint64]time.Time{}
	var last promql.Vector
	for at := start; !at.After(end); at = at.Add(interval) {
		vector, err := query(ctx, rule.Expr, at)
		if err != nil {
			return nil, err
		}
		active := map[uint64]time.Time{}
		for _, sample := range vector {
			series := sample.Metric.Hash()
			active[series] = at
			if before, ok := since[series]; ok {
				active[series] = before
			}
		}
		since, last = active, vector
	}
	var fire []alert
	for _, sample := range last {
		if end.Sub(since[sample.Metric.Hash()]) < time.Duration(rule.For) {
			continue
		}
		expand := func(texts map[string]string, into map[string]string) error {
			for name, text := range texts {
				data := template.AlertTemplateData(sample.Metric.Map(), nil, "", sample)
				text = "{{$labels := .Labels}}{{$value := .Value}}" + text
				expander := template.NewTemplateExpander(
					ctx, text, rule.Alert, data, model.TimeFromUnix(end.Unix()), query, &url.URL{}, nil,
				)
				expanded, err := expander.Expand()
				if err != nil {
					return err
				}
				into[name] = expanded
			}
			return nil
		}
		one := alert{Alert: rule.Alert, Labels: sample.Metric.Map(), Annotations: map[string]string{}}
		if err := expand(rule.Labels, one.Labels); err != nil {
			return nil, err
		}
		if err := expand(rule.Annotations, one.Annotations); err != nil {
			return nil, err
		}
		fire = append(fire, one)
	}
	return fire, nil
}

// load reads series of samples, and says when the longest ends.
func load(parser parser.Parser, texts []string, start time.Time) (storage.Queryable, time.Time, error) {
	var all []storage.Series
	end := start
	for _, text := range texts {
		name, values, err := parser.ParseSeriesDesc(text)
		if err != nil {
			return nil, end, fmt.Errorf("%s: %w", text, err)
		}
		var samples []chunks.Sample
		for number, value := range values {
			at := start.Add(time.Duration(number) * interval)
			if at.After(end) {
				end = at
			}
			if !value.Omitted {
				samples = append(samples, sample{at.UnixMilli(), value.Value})
			}
		}
		all = append(all, storage.NewListSeries(name, samples))
	}
	choose := func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var some []storage.Series
		for _, series := range all {
			if labels.Selector(matchers).Matches(series.Labels()) {
				some = append(some, series)
			}
		}
		return &list{some, -1}
	}
	querier := &storage.MockQuerier{SelectMockFunction: choose}
	return &storage.MockQueryable{MockQuerier: querier}, end, nil
}

// list is some series as a set of them.
type list struct {
	series []storage.Series
	at     int
}

func (l *list) Next() bool                        { l.at++; return l.at < len(l.series) }
func (l *list) At() storage.Series                { return l.series[l.at] }
func (l *list) Err() error                        { return nil }
func (l *list) Warnings() annotations.Annotations { return nil }

// sample is a number at a time.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

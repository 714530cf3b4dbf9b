// Judges dashboards by the types that Grafana publishes in its Foundation SDK: every field is known, has its type, and
// keeps its constraints. One line for each mistake; exit code 1 when there is one.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/logs"
	"github.com/grafana/grafana-foundation-sdk/go/loki"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	known := cog.NewRuntime()
	known.RegisterPanelcfgVariant(stat.VariantConfig())
	known.RegisterPanelcfgVariant(table.VariantConfig())
	known.RegisterPanelcfgVariant(timeseries.VariantConfig())
	known.RegisterPanelcfgVariant(logs.VariantConfig())
	known.RegisterDataqueryVariant(prometheus.VariantConfig())
	known.RegisterDataqueryVariant(loki.VariantConfig())
	wrong := false
	for _, path := range os.Args[1:] {
		if told := judge(path); told != "" {
			wrong = true
			fmt.Printf("%s: %s\n", path, told)
		}
	}
	if wrong {
		os.Exit(1)
	}
}

func judge(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	found := dashboard.Dashboard{}
	if told := mistakes(found.UnmarshalJSONStrict(content)); told != "" {
		return told
	}
	return mistakes(found.Validate())
}

// An empty list of mistakes is no nil error.
func mistakes(err error) string {
	if list, ok := err.(cog.BuildErrors); (ok && len(list) == 0) || err == nil {
		return ""
	}
	return err.Error()
}

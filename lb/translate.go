package lb

import (
	"log/slog"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// This file turns the words of the config file into those of the packages that
// act on them. It decides nothing.

func targetGroupConfig(tg config.TargetGroup, desired *config.File, metrics *targetgroup.Metrics, logger *slog.Logger) targetgroup.Config {
	out := targetgroup.Config{
		Name:                tg.Name,
		Protocol:            targetgroup.Protocol(tg.Protocol),
		ProtocolVersion:     targetgroup.ProtocolVersion(tg.ProtocolVersion),
		Algorithm:           targetgroup.Algorithm(tg.LoadBalancingAlgorithmType),
		DeregistrationDelay: &tg.DeregistrationDelay,
		HealthCheck: targetgroup.HealthCheck{
			Enabled:            &tg.HealthCheck.Enabled,
			Protocol:           targetgroup.Protocol(tg.HealthCheck.Protocol),
			Port:               tg.HealthCheck.Port,
			Path:               tg.HealthCheck.Path,
			Interval:           tg.HealthCheck.Interval,
			Timeout:            tg.HealthCheck.Timeout,
			HealthyThreshold:   tg.HealthCheck.HealthyThreshold,
			UnhealthyThreshold: tg.HealthCheck.UnhealthyThreshold,
			Matcher:            tg.HealthCheck.Matcher,
		},
		UnhealthyStateRouting: targetgroup.UnhealthyStateRouting{
			MinimumHealthyTargetsCount:      tg.TargetGroupHealth.UnhealthyStateRouting.MinimumHealthyTargetsCount,
			MinimumHealthyTargetsPercentage: int(tg.TargetGroupHealth.UnhealthyStateRouting.MinimumHealthyTargetsPercentage),
		},
		IdleTimeout:   desired.LoadBalancer.IdleTimeout,
		Metrics:       metrics,
		OnStateChange: targetgroup.LogStateChanges(logger),
	}
	for _, t := range tg.Targets {
		out.Targets = append(out.Targets, targetgroup.TargetConfig{Address: t.Address})
	}
	return out
}

func mutualAuthentication(m config.MutualAuthentication, store *trust.Store, faults *fault.List) listener.MutualAuthentication {
	out := listener.MutualAuthentication{
		Mode:                listener.Mode(m.Mode),
		Store:               store,
		OnRefusal:           listener.Refusal(m.OnRefusal),
		NoSessionResumption: m.SessionResumption == config.Off,
		Optional:            m.Optional, AllowInvalid: m.AllowInvalid,
	}
	if out.Mode != listener.ModeVerify {
		return out
	}
	out.Trust = &trust.Policy{MaxDepth: m.MaxChainDepth, IgnoreExpiry: m.IgnoreClientCertificateExpiry}
	for i, f := range m.IdentityFilters {
		cfg := certificateMatch(f.Match)
		cfg.Deny = f.Effect == config.FilterDeny
		filter, err := trust.NewFilter(cfg)
		if err != nil { // the plan is refused: nothing is ever decided without this filter
			faults.AddUnder(fault.Index("identity_filters", i), err)
			continue
		}
		out.Trust.Filters = append(out.Trust.Filters, filter)
	}
	return out
}

func certificateMatch(m config.CertificateMatch) trust.FilterConfig {
	return trust.FilterConfig{
		SubjectCN: m.SubjectCN, SubjectOU: m.SubjectOU, SubjectO: m.SubjectO,
		SANDNS: m.SANDNS, SANURI: m.SANURI, SANEmail: m.SANEmail, SANIP: m.SANIP,
		SPIFFEID: m.SPIFFEID, SPIFFETrustDomain: m.SPIFFETrustDomain,
		Issuer: m.Issuer, Serial: m.Serial, SHA256: m.SHA256, SPKISHA256: m.SPKISHA256,
	}
}

func proxyProtocol(p config.ProxyProtocol) *listener.ProxyProtocolConfig {
	if p.Mode != config.ProxyRequire {
		return nil
	}
	out := &listener.ProxyProtocolConfig{Mode: string(p.Mode), HeaderTimeout: p.HeaderTimeout}
	for _, source := range p.TrustedSources {
		out.TrustedSources = append(out.TrustedSources, source.String())
	}
	return out
}

func timeouts(l config.Listener, b config.LoadBalancer) listener.Timeouts {
	return listener.Timeouts{
		ClientHello: l.Timeouts.ClientHello, Handshake: l.Timeouts.Handshake, RequestHeaders: l.Timeouts.RequestHeaders,
		Idle: b.IdleTimeout, KeepAlive: b.ClientKeepAlive, Drain: b.DrainTimeout,
	}
}

func rules(in []config.Rule) []listener.RuleConfig {
	out := make([]listener.RuleConfig, len(in))
	for i, r := range in {
		out[i] = listener.RuleConfig{Priority: r.Priority, Actions: actions(r.Actions)}
		for _, c := range r.Conditions {
			out[i].Conditions = append(out[i].Conditions, condition(c))
		}
	}
	return out
}

func condition(c config.Condition) listener.ConditionConfig {
	var out listener.ConditionConfig
	if h := c.HostHeader; h != nil {
		out.HostHeader = &listener.PatternConfig{Values: h.Values, RegexValues: h.RegexValues}
	}
	if p := c.PathPattern; p != nil {
		out.PathPattern = &listener.PatternConfig{Values: p.Values, RegexValues: p.RegexValues}
	}
	if h := c.HTTPHeader; h != nil {
		out.HTTPHeader = &listener.HTTPHeaderConfig{
			Name: h.HTTPHeaderName, PatternConfig: listener.PatternConfig{Values: h.Values, RegexValues: h.RegexValues},
		}
	}
	if m := c.HTTPRequestMethod; m != nil {
		out.HTTPRequestMethod = &listener.ValuesConfig{Values: m.Values}
	}
	if q := c.QueryString; q != nil {
		out.QueryString = &listener.QueryStringConfig{}
		for _, v := range q.Values {
			out.QueryString.Values = append(out.QueryString.Values, listener.QueryValue{Key: v.Key, Value: v.Value})
		}
	}
	if s := c.SourceIP; s != nil {
		out.SourceIP = &listener.ValuesConfig{Values: s.Values}
	}
	if m := c.ClientCertificate; m != nil {
		out.ClientCertificate = &listener.ClientCertificateConfig{Presented: m.Presented, Verified: m.Verified, Match: certificateMatch(m.Match)}
	}
	return out
}

func actions(in []config.Action) []listener.ActionConfig {
	out := make([]listener.ActionConfig, len(in))
	for i, a := range in {
		if f := a.Forward; f != nil {
			out[i].Forward = &listener.ForwardConfig{}
			for _, tg := range f.TargetGroups {
				out[i].Forward.TargetGroups = append(out[i].Forward.TargetGroups, listener.WeightedGroup{Name: tg.Name, Weight: &tg.Weight})
			}
		}
		if r := a.Redirect; r != nil {
			out[i].Redirect = &listener.RedirectConfig{
				StatusCode: string(r.StatusCode), Protocol: r.Protocol, Host: r.Host, Port: r.Port, Path: r.Path, Query: &r.Query,
			}
		}
		if f := a.FixedResponse; f != nil {
			out[i].FixedResponse = &listener.FixedResponseConfig{
				StatusCode: f.StatusCode, ContentType: f.ContentType, MessageBody: f.MessageBody,
			}
		}
	}
	return out
}

func requestHeaders(l config.Listener, b config.LoadBalancer) listener.HeaderConfig {
	a := l.Attributes
	var forward []listener.ForwardedHeader
	for _, kind := range l.MutualAuthentication.ForwardHeaders {
		forward = append(forward, listener.ForwardedHeader(kind))
	}
	return listener.HeaderConfig{
		Forward:          forward,
		SerialNumberName: a.MTLSClientCertSerialNumberHeaderName, IssuerName: a.MTLSClientCertIssuerHeaderName,
		SubjectName: a.MTLSClientCertSubjectHeaderName, ValidityName: a.MTLSClientCertValidityHeaderName,
		LeafName: a.MTLSClientCertLeafHeaderName, ClientcertName: a.MTLSClientCertHeaderName,
		TLSVersionName: a.TLSVersionHeaderName, TLSCipherSuiteName: a.TLSCipherSuiteHeaderName,
		TLSHeaders:   b.EnableTLSVersionAndCipherSuiteHeaders,
		ForwardedFor: listener.ForwardedMode(b.XFFHeaderProcessingMode), ForwardedClientPort: b.EnableXFFClientPort,
		DropInvalid: b.DropInvalidHeaderFields,
	}
}

func responseHeaders(a config.ListenerAttributes) listener.ResponseConfig {
	return listener.ResponseConfig{
		StrictTransportSecurity: a.StrictTransportSecurity, AccessControlAllowOrigin: a.AccessControlAllowOrigin,
		AccessControlAllowMethods: a.AccessControlAllowMethods, AccessControlAllowHeaders: a.AccessControlAllowHeaders,
		AccessControlAllowCredentials: a.AccessControlAllowCredentials, AccessControlExposeHeaders: a.AccessControlExposeHeaders,
		AccessControlMaxAge: a.AccessControlMaxAge, ContentSecurityPolicy: a.ContentSecurityPolicy,
		XContentTypeOptions: a.XContentTypeOptions, XFrameOptions: a.XFrameOptions, ServerDisabled: !a.ServerHeaderEnabled,
	}
}

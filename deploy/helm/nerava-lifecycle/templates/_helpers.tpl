{{/* Each template below takes `root`, the chart's own scope, and `name`, the component: producer, consumer, console, … */}}

{{/* What each name begins with. A Service's has at most 63 characters, and the longest end is `-producer-pods`. */}}
{{- define "lifecycle.fullname" -}}
{{ .Release.Name | trunc 49 | trimSuffix "-" }}
{{- end }}

{{- define "lifecycle.selector" -}}
app.kubernetes.io/name: nerava-lifecycle
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "lifecycle.metadata" -}}
name: {{ include "lifecycle.fullname" .root }}-{{ .name }}
labels:
  {{- include "lifecycle.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "lifecycle.consumers" -}}
http://{{ include "lifecycle.fullname" . }}-consumer:8081
{{- end }}

{{/* A setting as text. A large number of a values file is a float, which would print as 1.2e+07. */}}
{{- define "lifecycle.text" -}}
{{ if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{- define "lifecycle.environment" -}}
{{- range $setting, $value := .settings }}
- name: {{ $setting }}
  value: {{ include "lifecycle.text" $value | quote }}
{{- end }}
{{- range $setting, $key := .secrets }}
{{- /* Here, because a schema's error shows the value, which may be the secret. */}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]{1,253}$" $key) }}
{{- fail (printf "secrets: what stands behind %s is no key of a Secret. Put the secret itself into existingSecret, and its key here" $setting) }}
{{- end }}
- name: {{ $setting }}{{ if not (hasSuffix "FILE" $setting) }}_FILE{{ end }}
  value: /run/secrets/lifecycle/{{ $setting }}
{{- end }}
{{- end }}

{{- define "lifecycle.probe" -}}
httpGet: { path: /v1/health/live, port: http }
timeoutSeconds: 5
{{- end }}

{{/* A pod of one container. It also takes `image`, `args`, `settings`, `secrets`, `resources`, and where it serves `port`. */}}
{{- define "lifecycle.pod" -}}
{{- $_ := required "settings.KAFKA_BOOTSTRAP_SERVERS is not set: name the brokers, as kafka.example.com:9092" .root.Values.settings.KAFKA_BOOTSTRAP_SERVERS }}
# Kubernetes' variables for Services have names such as PRODUCER_PORT, which are settings of ours.
enableServiceLinks: false
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ add 30 (default 0 .preStopSeconds) }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.pod }}
{{ toYaml . }}
{{- end }}
{{- if .port }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lifecycle.selector" . | nindent 8 }}
{{- else }}
restartPolicy: Never
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}nerava-{{ .image }}:
      {{- coalesce (get (get .root.Values .image) "tag") .root.Values.image.tag .root.Chart.AppVersion }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{ toJson .args }}
    env:
      {{- include "lifecycle.environment" . | trim | nindent 6 }}
    {{- if .port }}
    ports:
      - { name: http, containerPort: {{ .port }} }
    # Each asks whether the process answers, not whether it is well: neither a restart nor a pod without traffic repairs Kafka or
    # HubSpot, and an outage must not hold up the rollout of its remedy. docs/decisions/0079-helm-chart.md has the rest.
    startupProbe:
      {{- include "lifecycle.probe" . | nindent 6 }}
      periodSeconds: 2
      failureThreshold: 60
    readinessProbe:
      {{- include "lifecycle.probe" . | nindent 6 }}
      periodSeconds: 5
    livenessProbe:
      {{- include "lifecycle.probe" . | nindent 6 }}
      periodSeconds: 10
      failureThreshold: 3
    {{- end }}
    {{- with .preStopSeconds }}
    # The pod answers until the cluster has heard that it goes.
    lifecycle: { preStop: { exec: { command: [sleep, {{ . | quote }}] } } }
    {{- end }}
    resources:
      {{- toYaml .resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: { drop: [ALL] }
    volumeMounts:
      - { name: tmp, mountPath: /tmp }
      {{- if .secrets }}
      - { name: secrets, mountPath: /run/secrets/lifecycle, readOnly: true }
      {{- end }}
      {{- if .data }}
      - { name: data, mountPath: /var/lib/console }
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  {{- if .secrets }}
  - name: secrets
    secret:
      secretName: {{ required "existingSecret is not set: name the Secret that has the services' secrets (docs/kubernetes.md says how to create it)" .root.Values.existingSecret }}
      defaultMode: 0440
      items:
        {{- range $setting, $key := .secrets }}
        - { key: {{ $key | quote }}, path: {{ $setting }} }
        {{- end }}
  {{- end }}
  {{- with .data }}
  - name: data
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

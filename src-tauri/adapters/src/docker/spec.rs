//! A container's specification as the engine wants it.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, Mount,
    MountType, ResourcesUlimits,
};
use tandem_domain::container::{ContainerSpec, KEY_LABEL, LOG_FILES, LOG_SIZE, PIDS};

/// The body of the request. `devices` are those of the specification that the machine has. The API key is made up
/// here and stays with the container: whoever may use Docker on the machine can read it, and could do anything
/// there without it.
pub(super) fn body(spec: &ContainerSpec, devices: &[String]) -> ContainerCreateBody {
    let key = spec.key_variable.as_ref().map(|variable| {
        let random: [u8; 32] = rand::random();
        format!("{variable}={}", hex::encode(random))
    });
    let device = |path: &String| DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: Some(path.clone()),
        cgroup_permissions: Some("rwm".into()),
    };
    let mount = |mount: &tandem_domain::container::Mount| Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Mount::default()
    };
    let all_gpus = || DeviceRequest {
        count: Some(-1),
        capabilities: Some(vec![vec!["gpu".into()]]),
        ..DeviceRequest::default()
    };
    let limit = |name: &str, value: i64| ResourcesUlimits {
        name: Some(name.into()),
        soft: Some(value),
        hard: Some(value),
    };
    let host = HostConfig {
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        devices: Some(devices.iter().map(device).collect()),
        device_requests: spec.gpus.then(|| vec![all_gpus()]),
        network_mode: spec.host_network.then(|| "host".into()),
        shm_size: spec.shm_bytes.and_then(|n| i64::try_from(n).ok()),
        ulimits: spec
            .rdma_limits
            .then(|| vec![limit("memlock", -1), limit("stack", 64 << 20)]),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(spec.capabilities.clone()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        pids_limit: Some(PIDS),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_FILES.to_owned()),
            ])),
        }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: Some(spec.command.clone()),
        env: Some(
            spec.env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .chain(key)
                .collect(),
        ),
        labels: Some(
            spec.labels
                .iter()
                .cloned()
                .chain(spec.key_variable.clone().map(|v| (KEY_LABEL.to_owned(), v)))
                .collect(),
        ),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::container::{ContainerSpec, Mount};

    #[test]
    fn only_what_is_asked_for_is_given() {
        let plain = ContainerSpec {
            name: "a".into(),
            image: "b".into(),
            ..ContainerSpec::default()
        };
        let host = super::body(&plain, &[]).host_config.expect("there");
        assert_eq!(host.device_requests, None);
        assert_eq!(
            (host.network_mode, host.ipc_mode, host.ulimits),
            (None, None, None)
        );
        assert_eq!((host.privileged, host.cap_add), (None, Some(vec![])));
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(
            host.security_opt,
            Some(vec!["no-new-privileges".to_owned()])
        );
        assert_eq!(host.pids_limit, Some(4096));
        let log = host.log_config.expect("a limit").config.expect("a limit");
        assert_eq!((&log["max-size"][..], &log["max-file"][..]), ("50m", "3"));
    }

    #[test]
    fn every_start_has_a_key_of_its_own() {
        let spec = ContainerSpec {
            key_variable: Some("KEY".into()),
            ..ContainerSpec::default()
        };
        let key = || {
            let body = super::body(&spec, &[]);
            assert_eq!(body.labels.expect("labels")["dev.tandem.key"], "KEY");
            body.env.expect("an environment").remove(0)
        };
        let (one, other) = (key(), key());
        assert!(one.starts_with("KEY=") && one.len() == 4 + 64);
        assert_ne!(one, other);
        let plain = super::body(&ContainerSpec::default(), &[]);
        assert_eq!(plain.env, Some(vec![]));
    }

    #[test]
    fn a_serving_container_gets_gpus_limits_and_the_devices_that_exist() {
        let spec = ContainerSpec {
            name: "tandem-head".into(),
            image: "vllm/vllm-openai:stepfun37".into(),
            entrypoint: Some(vec!["vllm".into()]),
            command: vec!["serve".into()],
            env: vec![("A".into(), "1".into())],
            mounts: vec![Mount {
                source: "/h".into(),
                target: "/t".into(),
                read_only: true,
            }],
            devices: vec!["/dev/infiniband".into(), "/dev/none".into()],
            gpus: true,
            host_network: true,
            shm_bytes: Some(16 << 30),
            rdma_limits: true,
            capabilities: vec!["IPC_LOCK".into()],
            labels: vec![("dev.tandem.spec".into(), "x".into())],
            key_variable: None,
        };
        let body =
            serde_json::to_value(super::body(&spec, &["/dev/infiniband".into()])).expect("JSON");
        let host = &body["HostConfig"];
        assert_eq!(host["DeviceRequests"][0]["Count"], -1);
        assert_eq!(host["DeviceRequests"][0]["Capabilities"][0][0], "gpu");
        assert_eq!(host["Devices"].as_array().expect("a list").len(), 1);
        assert_eq!(host["Ulimits"][0]["Hard"], -1);
        assert_eq!(host["Ulimits"][1]["Soft"], 67_108_864);
        assert_eq!(
            (&host["NetworkMode"], &host["ShmSize"]),
            (&"host".into(), &(16_u64 << 30).into())
        );
        assert_eq!(host["Mounts"][0]["ReadOnly"], true);
        assert_eq!(body["Env"][0], "A=1");
        assert_eq!(body["Labels"]["dev.tandem.spec"], "x");
    }
}

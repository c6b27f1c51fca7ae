//! Which file systems a store may live on.
//!
//! Owns the list of network file systems, where LMDB's locks and its memory map cannot be trusted.
//! The kernel's type number decides; a FUSE mount is judged by the name that the mount table gives
//! it, since FUSE serves local and remote systems alike. Only `open` calls it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::os;

const FUSE: u64 = 0x6573_5546;

/// Type numbers of network file systems, from the kernel's sources.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0BD0_0BD2, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x2003_0528, "OrangeFS"),
    (0x1983_0326, "BeeGFS"),
    (0xAAD7_AAEA, "PanFS"),
    (0x564C, "NCP"),
    (0x786F_4256, "VirtualBox shared folder"),
    (0xBACB_ACBC, "VMware shared folder"),
];

/// FUSE systems that serve another machine's files, as the mount table names them.
const REMOTE_FUSE: &[(&str, &str)] = &[
    ("fuse.sshfs", "sshfs"),
    ("fuse.glusterfs", "GlusterFS"),
    ("fuse.ceph", "Ceph"),
    ("fuse.ceph-fuse", "Ceph"),
    ("fuse.s3fs", "s3fs"),
    ("fuse.gcsfuse", "gcsfuse"),
    ("fuse.blobfuse", "blobfuse"),
    ("fuse.blobfuse2", "blobfuse"),
    ("fuse.mount-s3", "mount-s3"),
    ("fuse.rclone", "rclone"),
    ("fuse.juicefs", "JuiceFS"),
    ("fuse.JuiceFS", "JuiceFS"),
    ("fuse.goofys", "goofys"),
    ("fuse.moosefs", "MooseFS"),
    ("fuse.mfs", "MooseFS"),
    ("fuse.seaweedfs", "SeaweedFS"),
    ("fuse.beegfs", "BeeGFS"),
    ("fuse.nfs", "NFS"),
    ("fuse.davfs", "WebDAV"),
    ("fuse.vmhgfs-fuse", "VMware shared folder"),
];

/// The network file system that holds `directory`, if one does.
pub fn network_kind(directory: &Path) -> io::Result<Option<&'static str>> {
    let kind = os::file_system_type(directory)?;
    if kind == FUSE {
        let device = fs::metadata(directory)?.dev();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        return Ok(remote_fuse(&mounts, device));
    }
    Ok(NETWORK
        .iter()
        .find(|(number, _)| *number == kind)
        .map(|(_, name)| *name))
}

/// The remote system behind the FUSE mount of `device`, by the mount table.
fn remote_fuse(mounts: &str, device: u64) -> Option<&'static str> {
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    let kind = mounts.lines().find_map(|line| {
        // "36 35 98:0 /root /mount options - type source options"
        let (before, after) = line.split_once(" - ")?;
        (before.split(' ').nth(2)? == device).then(|| after.split(' ').next())?
    })?;
    REMOTE_FUSE
        .iter()
        .find(|(name, _)| *name == kind)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::remote_fuse;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:33 / /home/a\\040b rw,nosuid - fuse.sshfs host:/srv rw,user_id=0
41 22 0:34 / /mnt/local rw - fuse.ntfs-3g /dev/sdb1 rw
";

    #[test]
    fn a_fuse_mount_is_remote_only_where_its_name_says_so() {
        let device = |minor| libc::makedev(0, minor);
        assert_eq!(remote_fuse(MOUNTS, device(33)), Some("sshfs"));
        assert_eq!(remote_fuse(MOUNTS, device(34)), None);
        assert_eq!(remote_fuse(MOUNTS, device(35)), None);
    }
}

//! The shipped sample, and data sets read from a folder.
#![expect(clippy::unwrap_used, reason = "a test ends at the first error")]

use std::fs;
use std::path::Path;

use veilflow_mnist::{CLASSES, Error, IMAGE_PIXELS, MnistData, Shard, Split};

/// Writes a data set of `train` and `test` images, image i of each part filled with the byte i.
fn write(directory: &Path, train: usize, test: usize) {
    for (prefix, count) in [("train", train), ("t10k", test)] {
        let count_bytes = (count as u32).to_be_bytes();
        let side = 28_u32.to_be_bytes();
        let mut images = [&[0, 0, 8, 3], &count_bytes[..], &side, &side].concat();
        images.extend((0..count).flat_map(|i| [i as u8; IMAGE_PIXELS]));
        let mut labels = [&[0, 0, 8, 1], &count_bytes[..]].concat();
        labels.extend((0..count).map(|i| (i % CLASSES) as u8));
        fs::write(directory.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        fs::write(directory.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// The bytes that the images of [`write()`] are filled with.
fn bytes(shard: &Shard) -> Vec<u8> {
    (0..shard.len())
        .map(|i| {
            let image = shard.image(i).unwrap();
            assert!(image.len() == IMAGE_PIXELS && image.iter().all(|pixel| *pixel == image[0]));
            ((image[0] * 0.3081 + 0.1307) * 255.0).round() as u8
        })
        .collect()
}

#[test]
fn the_sample_is_what_it_says() {
    let data = MnistData::sample().unwrap();
    assert_eq!((data.train.len(), data.test.len()), (8_000, 2_000));
    assert_eq!((data.train.split(), data.test.split()), (Split::Train, Split::Test));
    // The first labels of the original training set, which are not sorted by digit.
    let first: Vec<u8> = (0..12).map(|i| data.train.label(i).unwrap()).collect();
    assert_eq!(first, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5]);
    let mut counts = [0; CLASSES];
    for part in [&data.train, &data.test] {
        for i in 0..part.len() {
            counts[usize::from(part.label(i).unwrap())] += 1;
        }
    }
    assert_eq!(counts, [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]);
    // Normalised: the mean and variance of all of MNIST are 0 and 1.
    let pixels = || (0..8_000).flat_map(|i| data.train.image(i).unwrap()).map(|pixel| f64::from(*pixel));
    let count = (8_000 * IMAGE_PIXELS) as f64;
    let mean = pixels().sum::<f64>() / count;
    let variance = pixels().map(|pixel| (pixel - mean).powi(2)).sum::<f64>() / count;
    assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    // The parts share their memory, and so do shards.
    let shard = data.train.shard(1, 2).unwrap();
    assert!(std::ptr::eq(shard.image(0).unwrap(), data.train.image(1).unwrap()));
}

#[test]
fn normalisation_is_torchvision_s() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 256, 1);
    let data = MnistData::read(directory.path()).unwrap();
    for value in [0_u8, 1, 127, 255] {
        let expected = (f32::from(value) / 255.0 - 0.1307) / 0.3081;
        assert_eq!(data.train.image(usize::from(value)).unwrap()[0], expected);
    }
}

#[test]
fn shards_are_strided_and_cover_everything() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 11, 5);
    let data = MnistData::load(Some(directory.path())).unwrap();
    assert_eq!(bytes(&data.train), (0..11).collect::<Vec<u8>>());
    let parts = [0, 1, 2].map(|index| data.shard(index, 3).unwrap());
    assert_eq!(bytes(&parts[0].train), [0, 3, 6, 9]);
    assert_eq!(bytes(&parts[1].train), [1, 4, 7, 10]);
    assert_eq!(bytes(&parts[2].train), [2, 5, 8]);
    assert_eq!(bytes(&parts[2].test), [2]);
    assert_eq!(parts[1].train.label(3), Some(0));
    // Shards of shards, and limits of shards.
    assert_eq!(bytes(&parts[0].train.shard(1, 2).unwrap()), [3, 9]);
    assert_eq!(bytes(&parts[1].train.limit(2).unwrap()), [1, 4]);
    assert_eq!((parts[0].train.image(4), parts[0].train.label(4)), (None, None));

    assert!(matches!(data.shard(3, 3), Err(Error::Shard { index: 3, count: 3, .. })));
    assert!(matches!(data.shard(0, 0), Err(Error::Shard { count: 0, .. })));
    let error = data.shard(5, 11).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no shard 5 of 11 in 5 test images: each shard needs at least one"
    );
}

#[test]
fn limits() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 11, 5);
    let data = MnistData::read(directory.path()).unwrap();
    let limited = data.limited(Some(4), None).unwrap();
    assert_eq!((limited.train.len(), limited.test.len()), (4, 5));
    assert_eq!(data.limited(Some(11), Some(5)).unwrap().train.len(), 11);
    assert!(matches!(data.limited(Some(0), None), Err(Error::Limit { limit: 0, .. })));
    let error = data.limited(None, Some(6)).unwrap_err();
    assert_eq!(error.to_string(), "the limit of 6 test images is not between 1 and the 5 that there are");
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let error = MnistData::read(path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} does not hold train-images-idx3-ubyte (nor train-images-idx3-ubyte.gz); `veilflow data fetch mnist` \
             downloads the data set, `--data-dir` says where it is",
            path.display()
        )
    );

    write(path, 3, 2);
    fs::remove_file(path.join("t10k-labels-idx1-ubyte")).unwrap();
    assert!(matches!(MnistData::read(path), Err(Error::MissingFile { name: "t10k-labels-idx1-ubyte", .. })));

    write(path, 3, 2);
    fs::copy(path.join("t10k-labels-idx1-ubyte"), path.join("train-labels-idx1-ubyte")).unwrap();
    assert!(matches!(MnistData::read(path), Err(Error::Mismatch { images: 3, labels: 2, .. })));

    write(path, 3, 2);
    fs::copy(path.join("train-labels-idx1-ubyte"), path.join("train-images-idx3-ubyte")).unwrap();
    assert!(matches!(MnistData::read(path), Err(Error::Magic { expected: 0x803, found: 0x801, .. })));

    write(path, 0, 2);
    assert!(matches!(MnistData::read(path), Err(Error::NoImages { .. })));

    // A folder where a file should be.
    write(path, 3, 2);
    fs::remove_file(path.join("train-images-idx3-ubyte")).unwrap();
    fs::create_dir(path.join("train-images-idx3-ubyte")).unwrap();
    assert!(matches!(MnistData::read(path), Err(Error::Read { .. })));
}
